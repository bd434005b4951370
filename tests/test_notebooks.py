"""The notebooks run from start to end; the cell tagged `parameters` is replaced by small values."""

import pytest
from places import ROOT

nbformat = pytest.importorskip("nbformat", reason="needs the extra docs")
nbclient = pytest.importorskip("nbclient", reason="needs the extra docs")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = {
    "use": "size = 48",
    "train": "pictures, iterations, size, width, batch_size = 4, 2, 64, 4, 2",
    "compare": "count, size = 2, 32",
}


def test_each_notebook_has_one_cell_of_parameters_and_no_outputs():
    assert {path.stem for path in NOTEBOOKS} == SMALL.keys()
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1, path
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = SMALL[path.stem]
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)
