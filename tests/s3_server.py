"""Start a stand-in for S3, fill a bucket, score it on a cluster, and fetch what came out.

s3_server.py MOTO_SERVER PYTHON MODEL FOLDER TMP
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from pyarrow import fs


def main(moto: str, python: str, model: str, folder: str, tmp: str) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([moto, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(1)
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        query = f"?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1&allow_bucket_creation=true"
        bucket, _ = fs.FileSystem.from_uri(f"s3://bucket{query}")
        bucket.create_dir("bucket")
        fs.copy_files(folder, "bucket/articles", destination_filesystem=bucket)
        arguments = [model, f"s3://bucket/articles{query}", f"s3://bucket/scores{query}", ""]
        code = subprocess.run([python, "-c", os.environ["SCRIPT"], *arguments], check=False).returncode
        back = Path(tmp) / "back" / "scores"
        back.mkdir(parents=True)
        fs.copy_files("bucket/scores", str(back), source_filesystem=bucket)
        errors = Path(tmp) / "back" / "scores.errors.jsonl"
        with bucket.open_input_stream("bucket/scores.errors.jsonl") as stream:
            errors.write_bytes(stream.read())
        return code
    finally:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
