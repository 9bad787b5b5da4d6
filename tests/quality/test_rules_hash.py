"""The hash of the rules: it changes with everything that decides a verdict, and only then."""

import shutil
from pathlib import Path

import pipeline.quality
from pipeline.prices import adjustment, masking, misprints, price_basis, repair, usual
from pipeline.quality import Gate
from pipeline.quality import gate as gate_module
from pipeline.windows import dividends
from tests.quality.made_bars import SUITES


def test_the_rules_hash_covers_every_module_that_decides_a_verdict():
    folder = Path(pipeline.quality.__file__).parent
    modules = set(folder.glob("*.py")) - {
        folder / "__init__.py",
        folder / "data_docs.py",  # shows a verdict, and decides none
        folder / "gate.py",  # hashed by its own path
    }
    judging = (adjustment, masking, misprints, price_basis, repair, usual, dividends)
    modules |= {Path(module.__file__) for module in judging}
    assert {Path(module.__file__) for module in gate_module.DECIDING_MODULES} == modules


def test_the_rules_hash_changes_with_each_byte_that_decides(tmp_path, monkeypatch):
    suites = tmp_path / "expectations"
    shutil.copytree(SUITES, suites)
    before = Gate(suites).rules_hash
    assert before == Gate(SUITES).rules_hash
    for module in (*gate_module.DECIDING_MODULES, gate_module):
        changed = tmp_path / "changed.py"
        changed.write_bytes(Path(module.__file__).read_bytes() + b"#")
        with monkeypatch.context() as patch:
            patch.setattr(module, "__file__", str(changed))
            assert Gate(suites).rules_hash != before, module.__name__
    (suites / "forecasts.json").write_text("{}", encoding="utf-8")
    assert Gate(suites).rules_hash == before
    (suites / "prices.json").write_text("{}", encoding="utf-8")
    assert Gate(suites).rules_hash != before
