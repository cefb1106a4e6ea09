from itertools import chain

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apex_opt.spec import catalog
from apex_opt.spec.catalog import KINDS, SHELVES, UnknownNameError

EVERY_ENTRY = [(kind, name) for kind in KINDS for name in catalog.names(kind)]


NO_80B = "unknown model `llama-3.1-80b`"


@pytest.mark.parametrize(("kind", "name"), EVERY_ENTRY)
def test_an_entry_bears_the_name_of_its_file_and_says_where_it_comes_from(kind, name):
    entry = catalog.get(kind, name)
    assert entry.name == name
    assert entry.source


@pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.kind)
def test_no_two_entries_share_an_alias_and_none_hides_a_name(shelf):
    names = set(catalog.names(shelf.kind))
    seen = {}
    for entry in catalog.entries(shelf.kind):
        checkpoints = chain.from_iterable(getattr(entry, "checkpoints", {}).values())
        for alias in {catalog.fold(alias) for alias in (*entry.aliases, *checkpoints)}:
            assert alias not in seen, (alias, seen.get(alias), entry.name)
            assert alias not in names - {entry.name}
            seen[alias] = entry.name
            assert catalog.find(shelf, alias) is entry


PUBLISHED = [
    (name, weights, checkpoint)
    for name in catalog.names("models")
    for weights, checkpoints in catalog.model(name).checkpoints.items()
    for checkpoint in checkpoints
]


@pytest.mark.parametrize(("name", "weights", "checkpoint"), PUBLISHED)
def test_a_checkpoint_is_its_model_in_a_known_format_of_its_own(name, weights, checkpoint):
    model, found = catalog.model(name), catalog.model(checkpoint)
    assert catalog.weight_format(weights).name == found.native_weights == weights
    assert weights != model.native_weights
    assert (found.layers, found.aliases, found.checkpoints) == (model.layers, (checkpoint,), {})


@pytest.mark.parametrize(("name", "weights", "checkpoint"), PUBLISHED)
def test_what_a_checkpoint_is_called_finds_it_again(name, weights, checkpoint):
    found = catalog.model(checkpoint)
    assert catalog.model(found.name) == found or found.name in checkpoint.lower()
    assert catalog.model(found.name).native_weights == weights


def test_checkpoints_of_one_name_are_told_apart_by_their_owner():
    block, tensor = catalog.model("Qwen/Qwen3-8B-FP8"), catalog.model("nvidia/Qwen3-8B-FP8")
    assert (block.name, block.native_weights) == ("qwen3-8b-fp8", "fp8-block")
    assert (tensor.name, tensor.native_weights) == ("nvidia/qwen3-8b-fp8", "fp8")
    assert catalog.get("models", tensor.name) == tensor


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("H100", "h100-sxm-80gb"),
        ("h100_sxm", "h100-sxm-80gb"),
        (" H100-80GB ", "h100-sxm-80gb"),
        ("H100 SXM", "h100-sxm-80gb"),
        ("h200-sxm", "h200-sxm-141gb"),
        ("A100", "a100-sxm-80gb"),
        ("RTX PRO 6000", "rtx-pro-6000"),
        ("B200", "b200-sxm"),
    ],
)
def test_case_underscores_and_spaces_do_not_matter(spelling, name):
    assert catalog.device(spelling).name == name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Llama-3.1-70B", "llama-3.1-70b"),
        ("meta-llama/Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("zhipuai/GLM-5", "glm-5"),
        ("codellama/CodeLlama-34b-Instruct-hf", "codellama-34b"),
        ("nvidia/DeepSeek-R1-NVFP4", "deepseek-r1-nvfp4"),
        ("Qwen/Qwen3-235B-A22B-FP8", "qwen3-235b-a22b-fp8"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("nvidia/GLM-5-NVFP4", "glm-5-nvfp4"),
        ("Qwen3.5-397B-A17B-FP8", "qwen3.5-397b-a17b-fp8"),
    ],
)
def test_a_model_is_found_by_its_hugging_face_name_with_or_without_owner(spelling, name):
    assert catalog.model(spelling).name == name


@pytest.mark.parametrize(
    ("find", "name", "message"),
    [
        (catalog.device, "h1000", "unknown device `h1000`; did you mean `h100-sxm-80gb`?"),
        (catalog.model, "lama-3-70b", "unknown model `lama-3-70b`; did you mean `llama-3-70b`?"),
        (
            catalog.weight_format,
            "fp9",
            "unknown weight format `fp9`; did you mean `fp8` or `nvfp4`?",
        ),
        (catalog.engine, "vlm", "unknown engine `vlm`; did you mean `vllm`?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_known_one(find, name, message):
    with pytest.raises(UnknownNameError) as fault:
        find(name)
    assert str(fault.value) == message


def test_a_name_like_no_other_is_answered_with_where_the_known_ones_are():
    with pytest.raises(UnknownNameError) as fault:
        catalog.kv_format("q")
    message = "unknown KV-cache format `q`; `apexopt catalog kv-cache` lists the known ones"
    assert str(fault.value) == message


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.text(max_size=300))
def test_text_that_is_no_name_is_refused_in_a_short_line(kind, text):
    assume(not catalog.knows(kind, text))
    with pytest.raises(UnknownNameError) as fault:
        catalog.get(kind, text)
    assert len(str(fault.value)) < 250


@pytest.mark.parametrize("name", ["../devices/l4", "l4.toml", "/etc/passwd", ".", ""])
def test_a_path_is_not_a_name(name):
    with pytest.raises(UnknownNameError):
        catalog.device(name)


def test_a_name_costs_one_file_and_an_alias_the_aliases_of_its_kind(monkeypatch):
    read = []
    original = catalog._toml
    monkeypatch.setattr(catalog, "_toml", lambda *key: read.append(key) or original(*key))
    catalog._read.cache_clear()
    catalog._aliases.cache_clear()
    catalog.device("l4")
    assert read == [("devices", "l4")]
    catalog.device("l4")
    assert len(read) == 1
    catalog.device("L4-24GB")
    assert {folder for folder, _ in read} == {"devices"}
    assert len(read) == 1 + len(catalog.names("devices"))


@pytest.mark.parametrize(
    ("engine", "version", "found"),
    [
        ("vllm", None, "0.33"),
        ("vllm", "0.33.0", "0.33"),
        ("vllm", "1.0", "0.33"),
        ("vllm", "0.19.0", "0.19"),
        ("vllm", "0.17.1", "0.16"),
        ("vllm", "v0.15.1", "0.14"),
        ("vllm", "0.24.0", "0.21"),
        ("vllm", "0.12.0", "0.8"),
        ("vllm", "0.6", "0.6"),
        ("vllm", "0.5.4", "0.3"),
        ("SGLang", "0.5.10.post1", "0.5"),
        ("sglang", "0.4.6.post1", "0.4.4"),
        ("sglang", "0.4.3.post2", "0.4"),
        ("sglang", "0.3.6", "0.2"),
        ("trtllm", "1.2.0rc6.post1", "1.0"),
        ("trtllm", "0.17.0", "0.9"),
    ],
)
def test_a_release_is_the_newest_that_is_no_newer_than_the_version(engine, version, found):
    assert catalog.release(engine, version).version == found


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0.2.7", "vllm 0.2.7 is older than the oldest known, `0.3`"),
        ("nightly", "`nightly` is no version of vllm; write one like `0.19`"),
    ],
)
def test_a_version_that_is_unknown_is_refused(version, message):
    with pytest.raises(UnknownNameError) as fault:
        catalog.release("vllm", version)
    assert str(fault.value) == message


@pytest.mark.parametrize("entry", catalog.entries("engines"), ids=lambda entry: entry.name)
def test_releases_and_batch_limits_stand_in_falling_order(entry):
    versions = [catalog.version_key(release.version) for release in entry.releases]
    assert versions == sorted(versions, reverse=True)
    for release in entry.releases:
        floors = [limit.min_memory_gib for limit in release.batch_defaults]
        assert floors == sorted(floors, reverse=True)
        assert floors[-1] == 0
        for limit in release.batch_defaults:
            for device in limit.except_devices:
                assert catalog.device(device).name == device


@pytest.mark.parametrize("device", catalog.entries("devices"), ids=lambda device: device.name)
def test_a_device_says_what_its_curves_rest_on(device):
    efficiency = device.efficiency
    curves = [
        c
        for group in ("products", "prefill", "decode")
        for c in getattr(efficiency, group).values()
    ]
    assert "bf16" in efficiency.prefill
    assert "bf16" in efficiency.decode
    assert all(("prior" in efficiency.source) or c.error is not None for c in curves)
    assert efficiency.error_band <= 0.15 or "prior" in efficiency.source
    assert device.link.source
    assert efficiency.power.error is not None or "prior" in efficiency.power.source


@pytest.mark.parametrize("name", ["v100-sxm-32gb", "v100-sxm-16gb", "v100-pcie-16gb", "t4"])
def test_devices_before_ampere_have_no_bf16(name):
    assert "bf16" not in catalog.device(name).peak_tflops
    assert "fp16" in catalog.device(name).peak_tflops


@pytest.mark.parametrize("model", catalog.entries("models"), ids=lambda model: model.name)
def test_the_weights_of_a_model_are_in_a_known_format(model):
    assert catalog.weight_format(model.native_weights).name == model.native_weights
