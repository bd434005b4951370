"""The versions that a run notes down."""

from inpaintzoo import version


def test_packages_that_define_numbers_are_named_and_one_that_is_missing_does_no_harm(monkeypatch):
    found = version.versions()
    assert found["inpaintzoo"] and {"torch-fidelity", "lpips", "scikit-image", "scipy", "scikit-learn"} <= found.keys()
    assert "not installed" not in found.values()
    monkeypatch.setattr(version, "PACKAGES", ("torch", "no-such-package"))
    assert version.versions() == {
        "python": found["python"],
        "torch": found["torch"],
        "no-such-package": "not installed",
    }
