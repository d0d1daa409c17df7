"""The models that come with stancewire, each by the SHA-256 of its `stance.json`.

That file has the SHA-256 of each other one: a shipped model of which any byte changed is not loaded. Who
replaces models/NAME puts the figure of `sha256sum models/NAME/stance.json` here.
"""

from __future__ import annotations

from typing import Final

DIGESTS: Final = {
    "stance-small": "3578c756e40aea70615b315f2f1bd2f08f8832bd292e046a5b0b008f3b46db6a",
}
