"""The models that come with stancewire, each by the SHA-256 of its `stance.json`.

That file has the SHA-256 of each other one: a shipped model of which any byte changed is not loaded. Who
replaces models/NAME puts the figure of `sha256sum models/NAME/stance.json` here.
"""

from __future__ import annotations

from typing import Final

DIGESTS: Final = {
    "stance-small": "14a85d354164a5b7224e558227c364833e3304025604c3ac70109e1a58606297",
}
