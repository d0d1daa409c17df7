"""Score on many machines with Ray Data: workers read and score the files, and this process writes the output.

A worker is an actor with one processor and a classifier of one thread. It gets files in batches, opens them
through pyarrow's file systems, and gives back each document's line of JSON, which is kept as that of a run on
one machine is: so the output is the same to the byte, and a run goes on where it stood.
https://docs.ray.io/en/latest/data/transforming-data.html
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from stancewire.classifier import StanceClassifier
from stancewire.documents import Skipped, Source
from stancewire.engines.listing import REMOTE, RemoteFile, list_files, open_system
from stancewire.errors import StancewireError, install_hint
from stancewire.formats import FORMATS, to_line
from stancewire.inputs import Inputs
from stancewire.outputs import parse_out, store_path
from stancewire.parts import is_part, part_paths
from stancewire.provenance import errors_path, read_provenance
from stancewire.reading import Reading, read_groups
from stancewire.rereading import parse_line
from stancewire.rows import RowOptions
from stancewire.run_store import Place, RunStore, Stored
from stancewire.runtime import available_processors
from stancewire.scoring import (
    Progress,
    ScoringResult,
    describe_making,
    describe_settings,
    differences,
    making_of,
    refuse_changed,
    run_scoring,
    score_group,
    store_reading,
)
from stancewire.sentence_cache import SentenceCache

if TYPE_CHECKING:
    import pyarrow as pa

FILES_A_BATCH: Final = 16
_MOST_BLOCKS: Final = 10_000


def score_with_ray(
    classifier: StanceClassifier,
    paths: Sequence[str],
    out: str,
    model: Mapping[str, Any],
    *,
    address: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    any_language: bool = False,
    rows: RowOptions | None = None,
    spreadsheet: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
) -> ScoringResult:
    """Score what `stancewire.scoring.score_paths` scores, on the Ray cluster at `address` or a local one.

    `paths` and `out` may be addresses, as `s3://bucket/articles`; an `out` elsewhere is a folder of parts,
    which are written in `.stancewire-...` in the folder where the command runs and copied from there. `model`
    are the arguments of `StanceClassifier.load` that gave `classifier`; each worker loads it anew, and
    refuses if its bytes or the versions of libraries are not those of this process. Raises StancewireError
    as `score_paths` does, and if Ray is not installed or its cluster cannot be reached.
    """
    is_remote = REMOTE in out
    places = [path if REMOTE in path else os.path.abspath(path) for path in paths]
    place = _staging(out, places) if is_remote else parse_out(out)
    options = rows or RowOptions()
    if is_remote:
        holds_parts = _check_far_place(out)
        if resume:
            raise StancewireError("--resume adds to an output on this machine: score into another folder")
        if part_paths(place) and not store_path(place).exists() and not overwrite:
            settings = describe_settings(classifier, options, any_language, spreadsheet)
            before = making_of(read_provenance(place))
            refuse_changed(out, "not copied yet", differences(before, describe_making(classifier, settings)))
            return _copy_out(place, out, None)
        if holds_parts and not overwrite and not store_path(place).exists():
            raise StancewireError(f"{out} is already there: --overwrite (overwrite=True) starts anew")
    listing = list_files(paths, out)
    if not any(isinstance(entry, RemoteFile) for entry in listing.entries):
        raise StancewireError(f"there is no file of articles in {', '.join(paths)}")
    report = on_progress or (lambda progress: None)

    def score(store: RunStore, making: Mapping[str, Any]) -> tuple[Progress, Mapping[str, int]]:
        ignored = Counter(listing.ignored)
        task = _Task(dict(model), making, options, any_language)
        done = _score(store, listing.entries, task, address, ignored, report)
        return done, dict(sorted(ignored.items()))

    def run() -> ScoringResult:
        return run_scoring(
            classifier,
            place,
            score,
            places=places,
            options=options,
            any_language=any_language,
            spreadsheet=spreadsheet,
            overwrite=overwrite,
            resume=resume,
            report=report,
        )

    if not is_remote:
        return run()
    place.parent.mkdir(exist_ok=True)
    try:
        return _copy_out(place, out, run())
    finally:
        # Nothing is in it where the run did not begin.
        with suppress(OSError):
            place.parent.rmdir()


@dataclass(frozen=True, slots=True)
class _Task:
    # What a worker has to know.
    model: dict[str, Any]
    making: Mapping[str, Any]
    options: RowOptions
    any_language: bool


class _Worker:
    def __init__(self, task: _Task, roots: Sequence[str]) -> None:
        classifier = StanceClassifier.load(**task.model, threads=1)
        changed = differences(task.making, describe_making(classifier, task.making["settings"]))
        if changed:
            raise StancewireError(f"a worker is not what the head is: {'; '.join(changed)}")
        self._task = task
        self._cache = SentenceCache(classifier)
        self._systems = {root: open_system(root)[0] for root in roots}

    def __call__(self, files: pa.Table) -> pa.Table:
        import pyarrow as pa

        rows = [row for file in files.to_pylist() for row in self._rows(file)]
        return pa.Table.from_pylist(rows, schema=_schema())

    def _rows(self, file: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        def admit(name: str, mark: str | None) -> Place:
            return Place(0, name, mark is not None and name == file["name"] and mark == file["known"])

        with tempfile.TemporaryDirectory(prefix="stancewire-") as folder:
            inputs = Inputs([self._fetch(file, Path(folder))], self._task.options)
            with closing(read_groups(inputs, self._task.any_language, admit)) as groups:
                for group in groups:
                    for reading, stored in score_group(group, self._cache, lambda scored: None):
                        yield {
                            "file": file["file"],
                            "name": reading.place.name,
                            "fingerprint": reading.fingerprint,
                            "sentences": len(reading.sentences),
                            "line": stored and stored.line,
                            "skipped": stored and stored.is_skipped,
                            "kinds": stored and json.dumps(dict(stored.kinds)),
                        }
            yield {"file": file["file"], "ignored": json.dumps(inputs.ignored)}

    def _fetch(self, file: Mapping[str, Any], folder: Path) -> Source | Skipped:
        # The suffixes say what it is; the rest of the name may be longer than this machine allows.
        copy = folder / ("document" + "".join(PurePosixPath(file["path"]).suffixes[-2:]))
        try:
            with (
                self._systems[file["root"]].open_input_stream(file["path"], compression=None) as stream,
                copy.open("wb") as target,
            ):
                shutil.copyfileobj(stream, target, 1 << 20)
        except OSError as error:
            # A network that fails is no fault of the document's, and would cost many.
            if file["root"] and not isinstance(error, FileNotFoundError):
                raise StancewireError(f"{file['path']} cannot be read: {error}") from None
            return Skipped(file["name"], f"cannot be read: {error.strerror or error}")
        return Source(file["name"], copy, file["size"])


def _run(
    files: Sequence[Mapping[str, Any]], task: _Task, address: str | None
) -> Generator[pa.Table, None, None]:
    with _connected(address) as processors:
        data: Any = import_module("ray.data")
        scored = data.from_items(
            list(files), override_num_blocks=min(-(-len(files) // FILES_A_BATCH), _MOST_BLOCKS)
        )
        yield from scored.map_batches(
            _Worker,
            fn_constructor_args=(task, _roots(files)),
            batch_size=FILES_A_BATCH,
            batch_format="pyarrow",
            num_cpus=1,
            compute=data.ActorPoolStrategy(min_size=1, max_size=processors),
        ).iter_batches(batch_size=None, batch_format="pyarrow")


def _roots(files: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({file["root"] for file in files})


def _score(
    store: RunStore,
    entries: Sequence[RemoteFile | Skipped],
    task: _Task,
    address: str | None,
    ignored: Counter[str],
    report: Callable[[Progress], object],
) -> Progress:
    store.start_over()
    files = [
        {"file": number, **asdict(entry), "known": store.fingerprint_of(entry.name) or ""}
        for number, entry in enumerate(entries)
        if isinstance(entry, RemoteFile)
    ]
    # What could not be looked at stands where it was found.
    waiting = deque((number, entry) for number, entry in enumerate(entries) if isinstance(entry, Skipped))
    sizes = {file["file"]: file["size"] for file in files}
    size = sum(sizes.values())
    documents = sentences = consumed = 0
    with closing(_run(files, task, address)) as batches:
        for batch in batches:
            for row in batch.to_pylist():
                _put_unread(store, waiting, row["file"])
                if row["name"] is None:
                    consumed += sizes[row["file"]]
                    ignored.update(json.loads(row["ignored"]))
                    continue
                _put(store, row)
                documents += 1
                sentences += row["sentences"]
            store.commit()
            report(Progress(documents, sentences, consumed / size if size else 1.0))
    _put_unread(store, waiting, len(entries))
    store.commit()
    return Progress(documents, sentences, 1.0)


def _put(store: RunStore, row: Mapping[str, Any]) -> None:
    place = store.admit(row["name"], row["fingerprint"])
    if place.is_known:
        return
    if row["line"] is None:
        raise StancewireError(f"{place.name} was known under another name: --overwrite starts anew")
    line = row["line"]
    if place.name != row["name"]:
        line = _renamed(line, place.name, is_skipped=row["skipped"])
    stored = Stored(line, row["skipped"], json.loads(row["kinds"]))
    store.put(place, row["fingerprint"], stored)


def _put_unread(store: RunStore, waiting: deque[tuple[int, Skipped]], before: int) -> None:
    while waiting and waiting[0][0] < before:
        entry = waiting.popleft()[1]
        place = store.admit(entry.document, None)
        store.put(place, None, store_reading(Reading(place, reason=entry.reason), ()))


def _renamed(line: str, name: str, *, is_skipped: bool) -> str:
    if is_skipped:
        return json.dumps({**json.loads(line), "document": name})
    scored = parse_line(line)
    return to_line(replace(scored, document=replace(scored.document, id=name)))


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("file", pa.int64()),
            ("name", pa.string()),
            ("fingerprint", pa.string()),
            ("sentences", pa.int64()),
            ("line", pa.string()),
            ("skipped", pa.bool_()),
            ("kinds", pa.string()),
            ("ignored", pa.string()),
        ]
    )


@contextmanager
def _connected(address: str | None) -> Iterator[int]:
    # Ray reads it when it is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        ray, data, exceptions = map(import_module, ("ray", "ray.data", "ray.exceptions"))
    except ModuleNotFoundError as error:
        raise StancewireError(
            f"--engine ray needs {error.name}: {install_hint('ray')}, on every machine"
        ) from None
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            ray.init(
                address or "local",
                num_cpus=None if address else available_processors(),
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        # It has a level of its own, and tells much.
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        yield max(int(ray.cluster_resources().get("CPU", 1)), 1)
    except (exceptions.RayError, ConnectionError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise StancewireError(
            f"the Ray cluster could not go on: {said[-1]}; what is done is kept, and the same command goes on"
        ) from None
    finally:
        if is_ours:
            ray.shutdown()


def _staging(out: str, places: Sequence[str]) -> Path:
    # Of the addresses, so that the same command finds it again, and one that reads others does not.
    known = json.dumps([out.rstrip("/"), *places]).encode()
    return Path(f".stancewire-{blake2b(known, digest_size=8).hexdigest()}") / "scores"


def _check_far_place(out: str) -> bool:
    # As `check_place` does here: what is copied takes the place of all that is there.
    from pyarrow import fs

    system, path = open_system(out)
    if PurePosixPath(path).suffix.lower() in FORMATS:
        raise StancewireError(f"{out} should have no suffix: on another machine it is a folder of parts")
    try:
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    except OSError as error:
        raise StancewireError(f"{out} cannot be written: {error}") from None
    if not all(is_part(info.base_name) for info in found):
        raise StancewireError(f"{out} is there and is no folder of scores: give them a folder of their own")
    return bool(found)


def _copy_out(place: Path, out: str, result: ScoringResult | None) -> ScoringResult:
    # Each part says how many sentences all have: a copy that is cut short is not taken for the whole.
    provenance = read_provenance(place)
    system, path = open_system(out)
    try:
        system.delete_dir_contents(path, missing_dir_ok=True)
        system.create_dir(path, recursive=True)
        files = {part: f"{path}/{part.name}" for part in part_paths(place)}
        errors = errors_path(place)
        if errors.exists():
            files[errors] = errors_path(Path(path)).as_posix()
        for file, target in files.items():
            with file.open("rb") as stream, system.open_output_stream(target) as opened:
                shutil.copyfileobj(stream, opened, 1 << 20)
    except OSError as error:
        raise StancewireError(f"{out} cannot be written: {error}; the same command goes on") from None
    shutil.rmtree(place.parent)
    there = Path(out.partition("?")[0])
    if result is None:
        return ScoringResult(there, provenance, dict.fromkeys(provenance.labels, ()))
    return replace(result, out=there)
