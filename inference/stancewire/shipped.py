"""The models that come with stancewire, each by the SHA-256 of its `stance.json`.

That file has the SHA-256 of each other one: a shipped model of which any byte changed is not loaded. Who
replaces models/NAME puts the figure of `sha256sum models/NAME/stance.json` here.
"""

from __future__ import annotations

from typing import Final

DIGESTS: Final = {
    "stance-small": "86cfc86de85cdca6cda780582aaee52022f82cd21346000a4926fadad25a6587",
}
