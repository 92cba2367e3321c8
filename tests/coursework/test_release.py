"""No student's file says how a question is answered or checked; the other releases say all of it."""

import masters
import nbformat
import pytest
import release
from masters import HIDDEN, SOLUTION


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    release.main(["--output", str(folder)])
    return folder


every_master = pytest.mark.parametrize("path", masters.masters(), ids=lambda path: path.stem)


def lines(text):
    return {line.strip() for line in text.splitlines() if len(line.strip()) > 20}


@every_master
def test_no_solution_no_mistake_and_no_hidden_check_is_in_a_students_file(path, releases):
    cells = masters.read(path).cells
    given, secret = set(), set()
    for cell in cells:
        if "mistake" in cell.metadata:
            secret |= lines(cell.source)
            continue
        for hidden in (SOLUTION, HIDDEN):
            for found in hidden.finditer(cell.source):
                secret |= lines(found[1])
        given |= lines(HIDDEN.sub("", SOLUTION.sub("", cell.source)))
    student = (releases / "student" / path.name).with_suffix(".ipynb")
    text = "\n".join(cell.source for cell in nbformat.read(student, as_version=4).cells)
    secret -= given
    assert len(secret) > 50
    assert secret & lines(text) == set()
    assert "BEGIN" not in student.read_text()
    assert "mistake" not in {
        key for cell in nbformat.read(student, as_version=4).cells for key in cell.metadata
    }


@every_master
def test_the_instructors_file_has_solutions_hidden_checks_and_mistakes(path, releases):
    notebook = nbformat.read(releases / "instructor" / f"{path.stem}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    for cell in masters.read(path).cells:
        assert cell.metadata.get("mistake", "") in text
        for found in [*SOLUTION.finditer(cell.source), *HIDDEN.finditer(cell.source)]:
            assert found[1] in text


def test_what_has_not_changed_is_not_written_again(releases, capsys):
    before = {path: path.stat().st_mtime_ns for path in releases.rglob("*.ipynb")}
    release.main(["--output", str(releases)])
    assert ", 0 written" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in releases.rglob("*.ipynb")}


def test_another_variant_gives_other_numbers_and_stays_until_the_next(tmp_path, monkeypatch, small):
    monkeypatch.setattr(masters, "masters", lambda: [small / "small.md"])
    for words in (["--variant", "2027"], []):
        release.main(["--output", str(tmp_path), *words])
        for kind in ("student", "autograder", "instructor"):
            text = (tmp_path / kind / "small.ipynb").read_text()
            assert 'VARIANT = \\"2027\\"' in text
            assert "2026" not in text
    with pytest.raises(SystemExit, match="a variant is letters"):
        release.main(["--output", str(tmp_path), "--variant", 'x"; evil'])
