"""`python -m stancewire_training CONFIG`, so that `accelerate launch -m` can start it on several devices."""

from __future__ import annotations

from stancewire.cli import main_train

if __name__ == "__main__":
    main_train()
