"""A build says which of the cells that it ran were slow, and how long each chapter took."""

import re


def test_a_build_lists_the_slow_cells_that_it_ran_and_nothing_from_the_cache(small_book):
    config = (small_book.folder / "_config.yml").read_text()
    small_book.write(
        "_config.yml", config.replace("spoiled_cells:", "slow_cells: extensions\n    spoiled_cells:")
    )
    small_book.write_chapter("two", code="# a pause\n\nimport time\ntime.sleep(0.7)")
    status, said = small_book.build()
    assert status == 0, said
    table = said[said.index("The slowest 4 of 4 cells that this build ran:") :].splitlines()
    seconds, place, code = re.fullmatch(r" +([\d.]+) s +(\S+) +(.*)", table[1]).groups()
    assert (place, code) == ("chapters/two.md:21", "import time")
    assert float(seconds) >= 0.7
    assert sorted(line.split()[-1] for line in table[6:8]) == ["chapters/one.md", "chapters/two.md"]
    assert "iopub" not in (small_book.folder / "_build/html/_sources/chapters/two.ipynb").read_text()

    small_book.write("chapters/one.md", (small_book.folder / "chapters/one.md").read_text() + "\nMore.\n")
    status, said = small_book.build()
    assert status == 0, said
    assert "The slowest" not in said

    small_book.write_chapter("one", code="value * 3")
    status, said = small_book.build()
    assert "The slowest 2 of 2 cells" in said
    assert "chapters/two.md" not in said[said.index("The slowest") :]
