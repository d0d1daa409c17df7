"""The configuration files: nothing hidden, nothing guessed, every fault a sentence that names the key."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pydantic")
yaml = pytest.importorskip("yaml")

from stancewire.errors import StancewireError  # noqa: E402
from stancewire_training.config import (  # noqa: E402
    Config,
    EncoderConfig,
    documented_keys,
    parse_config,
    read_config,
)
from stancewire_training.encoder import fetch_encoder  # noqa: E402

SHIPPED = Path(__file__).parents[1] / "configs" / "stance-small.yaml"
# What YAML itself can carry: no control characters, no surrogates, no byte order mark.
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, exclude_categories=("Cc", "Cs")))
WORDS = TEXT.filter(bool)
SHARES = st.floats(0.0, 1.0)
RATES = st.floats(0.0, 1.0, exclude_max=True)
POSITIVE = st.integers(1, 10**6)
PEAKS = st.floats(0.0, 1.0, exclude_min=True)
CONFIGS = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z0-9][a-z0-9._-]*", fullmatch=True),
        "description": TEXT,
        "encoder": st.fixed_dictionaries(
            {
                "name": WORDS,
                "revision": st.none() | TEXT,
                "sha256": st.none() | TEXT,
                "license": TEXT,
                "trained_on": TEXT,
                "layers": st.none() | POSITIVE,
                "pieces": st.none() | POSITIVE,
            }
        ),
        "data": st.fixed_dictionaries({"corpus": WORDS, "max_length": st.integers(8, 8192)}),
        "training": st.fixed_dictionaries(
            {
                "epochs": POSITIVE,
                "batch_size": POSITIVE,
                "gradient_accumulation": POSITIVE,
                "learning_rate": PEAKS,
                "head_learning_rate": PEAKS,
                "weight_decay": SHARES,
                "warmup_share": RATES,
                "frozen_layers": st.integers(0, 48),
                "hidden_dropout": RATES,
                "head_dropout": RATES,
                "span_weight": st.floats(0.0, 10.0),
                "max_gradient_norm": st.floats(0.0, 1e9, exclude_min=True),
                "bf16": st.booleans(),
                "early_stopping_patience": POSITIVE,
                "seed": st.integers(0, 2**32 - 1),
            }
        ),
        "distillation": st.none()
        | st.fixed_dictionaries(
            {
                "soft_targets": WORDS,
                "hard_share": SHARES,
                "text": st.text(),
                "text_sentences": st.integers(0, 10**6),
                "empty_share": RATES,
                "min_words": POSITIVE,
                "max_words": POSITIVE,
            }
        ),
        "calibration": st.fixed_dictionaries(
            {
                "method": st.sampled_from(["platt", "none"]),
                "thresholds": st.sampled_from(["best_f1", "half"]),
            }
        ),
        "export": st.fixed_dictionaries({"max_probability_change": SHARES, "max_macro_f1_drop": SHARES}),
    }
)


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))


@pytest.fixture
def encoder_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def dotted(values: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in values.items():
        keys += dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return keys


def encoder_config(name: str, **values: str | None) -> EncoderConfig:
    given = {
        "revision": None,
        "sha256": None,
        "license": "MIT",
        "trained_on": "letters",
        "layers": None,
        "pieces": None,
    }
    given |= values
    return EncoderConfig.model_validate({"name": name, **given})


def test_the_shipped_configuration_of_a_model_loads() -> None:
    config = read_config(SHIPPED)

    assert config.name == "stance-small"


def test_every_key_of_the_classes_has_a_sentence_that_documents_it() -> None:
    keys = documented_keys()

    assert [key for key, sentence in keys.items() if not (sentence or "").strip().endswith(".")] == []


def test_the_shipped_file_has_every_key_of_the_classes_in_their_order_and_no_other(
    shipped: dict[str, Any],
) -> None:
    assert dotted(shipped) == list(documented_keys())


def test_every_key_of_the_shipped_file_is_explained_where_it_stands() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    leaves = {key.rpartition(".")[2] for key in documented_keys()}

    unexplained = []
    explained_below = False
    for line in lines:
        key, sign, rest = line.strip().partition(":")
        if line.strip().startswith("#"):
            explained_below = True
        elif sign and key in leaves:
            if not (explained_below or "#" in rest):
                unexplained.append(key)
            # One comment may stand over two keys, as over those of the export's limits.
        elif not line.strip() or not line.startswith(" "):
            explained_below = False

    assert unexplained == []


def test_what_the_shipped_file_says_is_what_the_configuration_holds(shipped: dict[str, Any]) -> None:
    assert read_config(SHIPPED).model_dump() == shipped


@given(values=CONFIGS)
def test_any_valid_configuration_comes_back_from_the_yaml_it_is_saved_as(values: dict[str, Any]) -> None:
    config = parse_config(values, "generated")

    again = parse_config(yaml.safe_load(config.to_yaml()), "saved")

    assert again == config
    assert again.to_yaml() == config.to_yaml()
    # A section that is null stands as one key.
    keys = [key for key in documented_keys() if not key.startswith("distillation.")]
    found = [
        key for key in dotted(yaml.safe_load(config.to_yaml())) if key.partition(".")[0] != "distillation"
    ]
    assert found == keys


def test_a_saved_configuration_reads_back_from_its_file(tmp_path: Path) -> None:
    config = read_config(SHIPPED, ["description='Grüße, “quotes”: and # signs'", "encoder.revision=null"])
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")

    again = read_config(tmp_path / "config.yaml")

    assert again == config


@pytest.mark.parametrize(
    ("override", "named", "nearest"),
    [
        ("training.learning_rat=1e-4", "training.learning_rat", "training.learning_rate"),
        ("training.epoch=3", "training.epoch", "training.epochs"),
        ("data.corpsu=seeds", "data.corpsu", "data.corpus"),
        ("trainin.epochs=3", "trainin.epochs", "training.epochs"),
        ("epochs=3", "epochs", "training.epochs"),
        ("nmae=x", "nmae", "name"),
        ("training.epochs.number=3", "training.epochs.number", "training.epochs"),
        ("calibration.methods=none", "calibration.methods", "calibration.method"),
    ],
)
def test_an_unknown_key_of_an_override_is_refused_with_the_nearest_right_one(
    override: str, named: str, nearest: str
) -> None:
    with pytest.raises(StancewireError) as caught:
        read_config(SHIPPED, [override])

    assert f"there is no key {named};" in str(caught.value)
    assert str(caught.value).endswith(f"the nearest is {nearest}")


@pytest.mark.parametrize("place", ["", "encoder", "data", "training", "calibration", "export"])
def test_an_unknown_key_of_a_file_is_refused_at_any_depth(
    shipped: dict[str, Any], tmp_path: Path, place: str
) -> None:
    section = shipped | {"exprot": 1} if not place else shipped | {place: shipped[place] | {"zzz": 1}}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(section), encoding="utf-8")

    with pytest.raises(StancewireError, match=r"model\.yaml: there is no key .*; the nearest is \w+"):
        read_config(tmp_path / "model.yaml")


def test_an_unknown_key_deep_inside_a_value_is_refused(shipped: dict[str, Any]) -> None:
    values = shipped | {"data": shipped["data"] | {"corpus": {"path": "seeds"}}}

    with pytest.raises(StancewireError, match=r"data\.corpus is .*should be a valid string"):
        parse_config(values, "model.yaml")


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("training.learning_rate=1e-4", "training", "learning_rate", 1e-4),
        ("training.learning_rate=1E-4", "training", "learning_rate", 1e-4),
        ("training.learning_rate=.5", "training", "learning_rate", 0.5),
        ("training.max_gradient_norm=3", "training", "max_gradient_norm", 3.0),
        ("training.max_gradient_norm=1e3", "training", "max_gradient_norm", 1000.0),
        ("training.epochs=3", "training", "epochs", 3),
        ("training.epochs = 3", "training", "epochs", 3),
        ("training.bf16=false", "training", "bf16", False),
        ("training.bf16=no", "training", "bf16", False),
        ("encoder.sha256=null", "encoder", "sha256", None),
        ("encoder.name=a/b=c", "encoder", "name", "a/b=c"),
        ("encoder.revision=1e4", "encoder", "revision", "1e4"),
        ("data.corpus=my corpus", "data", "corpus", "my corpus"),
        ("calibration.method=none", "calibration", "method", "none"),
    ],
)
def test_an_override_sets_one_key_and_leaves_the_others(
    shipped: dict[str, Any], override: str, section: str, key: str, value: object
) -> None:
    config = read_config(SHIPPED, [override])

    found = config.model_dump()
    assert found == shipped | {section: shipped[section] | {key: value}}
    assert type(found[section][key]) is type(value)


def test_a_later_override_wins() -> None:
    config = read_config(SHIPPED, ["training.epochs=3", "training.epochs=4"])

    assert config.training.epochs == 4


@pytest.mark.parametrize("override", ["training.epochs", "training.epochs:3", "=3", "", "training.=3"])
def test_an_override_without_a_key_or_an_equals_sign_is_refused_with_an_example(override: str) -> None:
    with pytest.raises(StancewireError, match=r"should be KEY=VALUE, such as training\.epochs=3"):
        read_config(SHIPPED, [override])


@pytest.mark.parametrize("value", ["[1", "{", "'", "!!python/name:os.system", "*anchor", "!tag 3"])
def test_an_override_whose_value_is_no_yaml_is_refused(value: str) -> None:
    with pytest.raises(StancewireError, match=r"--set training\.epochs=.* is not a YAML value"):
        read_config(SHIPPED, [f"training.epochs={value}"])


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("training.epochs=0", "training.epochs"),
        ("training.epochs=2.5", "training.epochs"),
        ("training.epochs='3'", "training.epochs"),
        ("training.epochs=true", "training.epochs"),
        ("training.epochs=null", "training.epochs"),
        ("training.epochs=[3]", "training.epochs"),
        ("training.batch_size=-1", "training.batch_size"),
        ("training.gradient_accumulation=0", "training.gradient_accumulation"),
        ("training.learning_rate=0", "training.learning_rate"),
        ("training.learning_rate=fast", "training.learning_rate"),
        ("training.learning_rate=true", "training.learning_rate"),
        ("training.learning_rate=.nan", "training.learning_rate"),
        ("training.learning_rate=1e400", "training.learning_rate"),
        ("training.head_learning_rate=1.5", "training.head_learning_rate"),
        ("training.weight_decay=-0.1", "training.weight_decay"),
        ("training.warmup_share=1.0", "training.warmup_share"),
        ("training.hidden_dropout=1.0", "training.hidden_dropout"),
        ("training.head_dropout=-0.5", "training.head_dropout"),
        ("training.max_gradient_norm=0", "training.max_gradient_norm"),
        ("training.bf16=1", "training.bf16"),
        ("training.bf16='true'", "training.bf16"),
        ("training.early_stopping_patience=0", "training.early_stopping_patience"),
        ("training.seed=-1", "training.seed"),
        ("training.seed=4294967296", "training.seed"),
        ("training=3", "training"),
        ("data.max_length=7", "data.max_length"),
        ("data.max_length=9000", "data.max_length"),
        ("data.corpus=7", "data.corpus"),
        ("data.corpus=", "data.corpus"),
        ("data.corpus=''", "data.corpus"),
        ("encoder.name=null", "encoder.name"),
        ("encoder.name=''", "encoder.name"),
        ("encoder.revision=1234567", "encoder.revision"),
        ("calibration.method=isotonic", "calibration.method"),
        ("calibration.thresholds=0.5", "calibration.thresholds"),
        ("export.max_probability_change=2", "export.max_probability_change"),
        ("export.max_macro_f1_drop=-1", "export.max_macro_f1_drop"),
        ("name=../elsewhere", "name"),
        ("name=''", "name"),
        ("name=Stance Small", "name"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_refused_by_its_key(override: str, key: str) -> None:
    with pytest.raises(StancewireError) as caught:
        read_config(SHIPPED, [override])

    assert f"stance-small.yaml: {key} is " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named_with_what_it_is_for(shipped: dict[str, Any]) -> None:
    training = {key: value for key, value in shipped["training"].items() if key != "seed"}

    with pytest.raises(StancewireError, match=r"training\.seed is missing: The seed of everything random"):
        parse_config(shipped | {"training": training}, "model.yaml")


def test_a_missing_section_is_named(shipped: dict[str, Any]) -> None:
    values = {key: value for key, value in shipped.items() if key != "export"}

    with pytest.raises(StancewireError, match=r"model\.yaml: export is missing"):
        parse_config(values, "model.yaml")


def test_all_faults_of_a_file_are_told_at_once() -> None:
    with pytest.raises(StancewireError, match=r"training\.epochs is 0.*training\.seed is -1"):
        read_config(SHIPPED, ["training.epochs=0", "training.seed=-1"])


@pytest.mark.parametrize(
    "content",
    [
        b"name: [unclosed\n",
        b"\tname: tab\n",
        b"name: 'open\n",
        b"name: *nowhere\n",
        b"name: a\n---\nname: b\n",
        b"name: !!python/object/apply:os.getcwd []\n",
        b"name: !mine x\n",
        b"name: a\nname: b\n",
        b"training:\n  epochs: 1\n  epochs: 2\n",
        b"? [a, b]\n: c\n",
        b"name: stance\xff\xfe\n",
        "name: größe\n".encode("utf-16"),
        b"name: \x00\n",
        b"[" * 5000,
    ],
)
def test_a_file_that_is_no_plain_yaml_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.yaml").write_bytes(content)

    with pytest.raises(StancewireError, match=r"model\.yaml") as caught:
        read_config(tmp_path / "model.yaml")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "# only a comment\n", "just words\n", "- a\n- b\n", "3\n", "null\n"])
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.yaml").write_text(content)

    with pytest.raises(StancewireError, match=r"model\.yaml should hold keys and values"):
        read_config(tmp_path / "model.yaml")


def test_a_file_of_another_kind_is_refused_by_its_keys() -> None:
    with pytest.raises(StancewireError, match=r"keywords\.yaml: .*there is no key"):
        read_config(SHIPPED.with_name("keywords.yaml"))


@pytest.mark.parametrize("name", ["", "nowhere.yaml"])
def test_a_folder_or_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StancewireError, match="cannot be read: "):
        read_config(tmp_path / name)


def test_a_configuration_cannot_be_changed_once_read() -> None:
    config = read_config(SHIPPED)

    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"  # type: ignore[misc]

    assert isinstance(config, Config)


def test_a_local_encoder_with_the_right_hash_is_taken(encoder_folder: Path) -> None:
    right = hashlib.sha256(b"weights").hexdigest()

    found = fetch_encoder(encoder_config(str(encoder_folder), sha256=right))

    assert found == encoder_folder


def test_an_encoder_with_another_hash_is_refused_with_both_hashes(encoder_folder: Path) -> None:
    right, wrong = hashlib.sha256(b"weights").hexdigest(), "0" * 64

    with pytest.raises(StancewireError) as caught:
        fetch_encoder(encoder_config(str(encoder_folder), sha256=wrong))

    assert right in str(caught.value)
    assert f"encoder.sha256 says {wrong}" in str(caught.value)
    assert "null to take any" in str(caught.value)


def test_a_folder_given_beside_the_config_must_hold_the_weights_of_the_config(encoder_folder: Path) -> None:
    config = encoder_config("someone/encoder", sha256="0" * 64)

    with pytest.raises(StancewireError, match="is not the encoder of the config"):
        fetch_encoder(config, encoder_folder)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_lacks_a_part_of_an_encoder_is_refused(encoder_folder: Path, missing: str) -> None:
    (encoder_folder / missing).unlink()

    with pytest.raises(StancewireError, match=f"has no {missing}"):
        fetch_encoder(encoder_config(str(encoder_folder)))


def test_a_folder_given_beside_the_config_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StancewireError, match="there is no encoder folder"):
        fetch_encoder(encoder_config("someone/encoder"), tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["someone/an-encoder-that-is-nowhere", "not/a/hub/id", "runs/missing"])
def test_an_encoder_that_cannot_be_had_is_told_with_how_to_get_it(name: str) -> None:
    config = encoder_config(name, revision="abc123")

    with pytest.raises(StancewireError) as caught:
        fetch_encoder(config)

    assert f"hf download {name} --revision abc123 --local-dir encoder" in str(caught.value)
    assert "--encoder encoder" in str(caught.value)
