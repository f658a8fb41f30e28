"""The command line: what it writes, prints and says when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import spade_widgets as sw
from spade_widgets import cli
from spade_widgets.attribution import METHODS
from spade_widgets.cli import main
from spade_widgets.cli_options import PAPER, folder, taken
from spade_widgets.demo import emoji
from spade_widgets.errors import InputError

FAST = ["--augmentations", "4", "--threads", "1"]
METHODS_HOME = "spade_widgets.attribution.saliency"  # the package's attribute of that name is the function
#: Of the emoji classifier, one small layer.
HEAD = ["--layers", "fc", "--sparsity", "0.5"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def photographs(count: int, where: str = "photos") -> Path:
    place = Path(where)
    place.mkdir()
    rng = np.random.default_rng(2)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return place


def test_evaluate_writes_its_tables_and_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["evaluate", "--methods", "saliency", "gradcam", "--metrics", "trojan_auc", "kl", "--count", "2", *FAST]
    assert main([*command, *HEAD]) == 0
    text = Path("evaluation.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == text.strip()
    assert "Trojan AUC, % (higher is better)" in text
    assert "| saliency |" in text
    assert "| average |" in text
    assert len(Path("evaluation.csv").read_text().splitlines()) == 1 + 2 * 3 + 2
    lines = [json.loads(line) for line in Path("evaluation.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum("value" in line for line in lines) == 2 * 2 * 2 + 2 * 2
    before = Path("evaluation.jsonl").read_bytes()
    # All is known by now: no map is made.
    monkeypatch.setattr(sys.modules[METHODS_HOME], "saliency_steps", None)
    assert main([*command, *HEAD]) == 0
    assert main([*command, *HEAD, "--tables-only"]) == 0
    assert Path("evaluation.jsonl").read_bytes() == before
    assert Path("evaluation.md").read_text(encoding="utf-8") == text


def test_tables_of_what_is_known_compute_nothing() -> None:
    assert main(["evaluate", "--methods", "saliency", "--count", "2", "--tables-only", *FAST]) == 0
    assert "| saliency | — | — |" in Path("evaluation.md").read_text(encoding="utf-8")
    assert not Path("evaluation.jsonl").read_text()


def test_tune_writes_a_plan_that_evaluate_takes_but_not_on_the_same_samples(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tune = ["tune", "--methods", "saliency", "--layers", "fc", "--grid", "0,0.9", "--count", "2", *FAST]
    assert main([*tune, "--out", "p"]) == 0
    printed = capsys.readouterr()
    whole = json.loads(Path("p.json").read_text(encoding="utf-8"))
    assert json.loads(printed.out) == whole
    assert len(whole["tuned_on"]) == 2
    assert whole["trials"][0]["layers"] == ["fc"]
    assert "Trojan AUC on these 2 samples" in printed.err
    whole["plan"] = {"fc": 0.9}  # whatever was best
    Path("p.json").write_text(json.dumps(whole))
    judge = ["evaluate", "--methods", "saliency", "--count", "1", "--plan", "p.json", *FAST]
    assert main(judge) == 0
    assert main([*judge, "--sample-seed", str(cli.TUNE_SEED)]) == 2
    assert "tuned on" in capsys.readouterr().err


def test_a_torchvision_classifier_on_a_folder() -> None:
    photographs(3)
    command = ["evaluate", "--model", "squeezenet1_1", "--weights", str(_weights()), "--samples", "photos"]
    judged = ["--methods", "saliency", "--metrics", "deletion", "--steps", "3", "--networks", "dense"]
    assert main([*command, *judged, "--take", "1:", "--layers", "classifier.1", *FAST]) == 0
    assert "Means over 2 samples" in Path("evaluation.md").read_text(encoding="utf-8")


def _weights(seed: int = 0) -> Path:
    import torch
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    path = Path(f"squeeze{seed}.safetensors")
    save_file(torchvision.models.squeezenet1_1(num_classes=4).state_dict(), path)
    return path


def test_trace_writes_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    image = photographs(1) / "0.png"
    assert main(["trace", str(image), "--out", "t.safetensors", "--layers", "fc", *FAST]) == 0
    out = capsys.readouterr().out
    trace = sw.Trace.load("t.safetensors", emoji.classifier())
    assert f"kept {trace.stats()[0].kept:>9,} of" in out
    assert "Written: t.safetensors" in out


def test_ctrl_c_says_what_is_kept(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[METHODS_HOME], "saliency_steps", stopped)
    assert main(["evaluate", "--methods", "saliency", "--count", "1", "--networks", "dense", *FAST]) == 130
    assert "kept in evaluation.jsonl; the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["evaluate", "--methods", "lrq"], "no saliency method 'lrq'"),
        (["evaluate", "--networks", "dens"], "no network 'dens'"),
        (["evaluate", "--metrics", "auc"], "no metric 'auc'"),
        (["evaluate", "--count", "0"], "0 samples"),
        (["evaluate", "--samples", "nowhere"], "no file 'nowhere'"),
        (["evaluate", "--take", "0:2"], "--take"),
        (["evaluate", "--plan", "none.json"], "cannot be read"),
        (["evaluate", "--plan", "none.json", "--sparsity", "0.5"], "either --plan"),
        (["evaluate", "--layers", "nothing"], "matches 'nothing'"),
        (["evaluate", "--weights", "w.pt"], "its own weights"),
        (["evaluate", "--model", "resnet51"], "no classifier 'resnet51'"),
        (["evaluate", "--model", "squeezenet1_1", "--weights", "w.pt"], "no weights file"),
        (["evaluate", "--device", "abacus"], "no device 'abacus'"),
        (["evaluate", "--threads", "0"], "0 threads"),
        (["evaluate", "--samples", "plain", "--count", "1", *FAST], "no mask"),
        (["evaluate", "--out", "/dev/null/x", "--count", "1"], "/dev/null"),
        (["tune", "--grid", "0;1"], "no list of sparsities"),
        (["tune", "--grid", "0,1"], "1"),
        (["trace", "none.png"], "no file 'none.png'"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    command: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.startswith("spade-widgets: ")
    assert err.count("\n") == 1
    assert says in err


def test_a_torchvision_classifier_needs_samples(capsys: pytest.CaptureFixture[str]) -> None:
    model = ["evaluate", "--model", "squeezenet1_1", "--weights", str(_weights())]
    assert main(model) == 2
    assert "--samples" in capsys.readouterr().err
    assert main([*model, "--samples", "trojans"]) == 2
    assert "emoji classifier's" in capsys.readouterr().err


def test_a_folders_masks_are_no_samples() -> None:
    place = photographs(2)
    area = np.zeros((40, 48), np.uint8)
    area[3:9, 5:9] = 255
    Image.fromarray(area).save(place / "1.mask.png")
    first, second = folder(place, None)
    assert first.mask is None
    assert np.array_equal(second.mask, area > 0)  # type: ignore[arg-type]
    assert [s.title for s in folder(place, "1:")] == ["1"]
    with pytest.raises(InputError, match="No image"):
        folder(place, "7:")


def test_a_mask_belongs_to_one_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever dots are in the names: of images that share the beginning of one, none takes another's mask."""
    titles = ["a", "a.1", "a.2", "a.1.5", "b.c"]
    for i, title in enumerate(titles):
        Image.new("RGB", (20, 20), (40 * i, 0, 0)).save(tmp_path / f"{title}.png")
    for masked in titles:
        area = np.zeros((20, 20), np.uint8)
        area[:5] = 255
        Image.fromarray(area).save(tmp_path / f"{masked}.mask.png")
        assert [s.title for s in folder(tmp_path, None) if s.mask is not None] == [masked]
        (tmp_path / f"{masked}.mask.png").unlink()
    (tmp_path / "a.1.png").write_text("no image")
    Image.new("L", (3, 3)).save(tmp_path / "b.c.mask.png")
    assert {s.title for s in folder(tmp_path, None)} == {"a", "a.1.5", "a.2"}
    assert "'a.1.png' is left out" in caplog.text
    assert "'b.c.png' is left out" in caplog.text  # its mask is of another size
    with pytest.raises(InputError, match=r"a\.1\.png"):
        folder(tmp_path / "a.1.png", None)


def test_slices() -> None:
    assert taken("abcdefg", "0::3") == ["a", "d", "g"]
    assert taken("abcdefg", "1::3, 2::3") == ["b", "c", "e", "f"]
    assert taken("abcdefg", "-2:,:1") == ["a", "f", "g"]
    for text in ("", "3", "a:b", "1:2:0", "1:2:3:4"):
        with pytest.raises(InputError, match="no slice"):
            taken("abc", text)


def test_the_papers_methods_are_there() -> None:
    assert len(set(PAPER)) == 10
    assert set(PAPER) <= set(METHODS)


def test_progress_is_a_line() -> None:
    from spade_widgets.pruning.progress import Progress

    assert (
        cli._line(Progress("s1 · fast · lrp", 30, 100), 20, 60) == " 30.0 %  s1 · fast · lrp  (60 s, about 7 min left)"
    )
    assert cli._line(Progress("s1", 20, 100), 20, 1) == " 20.0 %  s1  (1 s)"


def test_it_is_a_command_whose_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\nfrom spade_widgets.cli import main\n"
        "try:\n    main(['evaluate', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--networks" in done.stdout


def test_pictures_are_judged_and_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    photographs(3)
    torchvision = ["--model", "squeezenet1_1", "--weights", str(_weights()), "--samples", "photos"]
    reader = ["--reader", "squeezenet1_1", "--reader-weights", str(_weights(1)), "--starts", "1"]
    quick = ["--augmentations", "2", "--layers", "classifier.1", "--steps", "1", "--size", "64", "--threads", "1"]
    command = ["pictures", *torchvision, *reader, *quick, "--sparsities", "0.5", "0.9", "--networks", "dense", "fast"]
    assert main([*command, "--take", "0:2", "--neurons", "logit", "features.12"]) == 0
    text = Path("pictures.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == text.strip()
    assert "### the most excited channel of features.12" in text
    assert "| fast 0.9 |" in text
    made = sorted(Path("pictures.pictures").iterdir())
    assert 2 + 2 * 2 * 2 <= len(made) <= 4 + 2 * 2 * 2  # the dense ones are shared where class and channel are
    before = [path.stat().st_mtime_ns for path in made]
    assert main([*command, "--take", "0:2", "--neurons", "logit", "features.12", "--tables-only"]) == 0
    assert Path("pictures.md").read_text(encoding="utf-8") == text
    assert [path.stat().st_mtime_ns for path in sorted(Path("pictures.pictures").iterdir())] == before
    assert len(Path("pictures.csv").read_text().splitlines()) == 1 + 3 * (4 + 2)


def test_what_pictures_cannot_be_asked_of_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    photographs(2)
    command = ["pictures", "--model", "squeezenet1_1", "--weights", str(_weights()), "--samples", "photos"]
    assert main([*command, "--reader", "squeezenet1_1", "--reader-weights", str(_weights())]) == 2
    assert "cannot read its own pictures" in capsys.readouterr().err
    reader = ["--reader", "squeezenet1_1", "--reader-weights", str(_weights(1))]
    assert main([*command, *reader, "--ask", "patch"]) == 2
    assert "has no mask" in capsys.readouterr().err
    assert main([*command, *reader, "--sparsities", "0.5", "--sparsity", "0.9"]) == 2
    assert "either --sparsities" in capsys.readouterr().err


def test_the_photograph_classifier_is_judged_on_its_own_photographs(tmp_path: Path) -> None:
    out = tmp_path / "photos"
    asked = ["--model", "photos", "--count", "2", "--networks", "dense", "--methods", "saliency", "--threads", "1"]
    assert main(["evaluate", *asked, "--out", str(out)]) in (0, None)
    assert "n = 2" in out.with_suffix(".md").read_text() or "2 samples" in out.with_suffix(".md").read_text()
