"""Style rules are kept where a page can use them, and nowhere else."""

import lean_pages as lean
import pytest


@pytest.mark.parametrize(
    ("sheet", "kept"),
    [
        (".a{color:red}.b{color:blue}", ".a{color:red}"),
        (".a.b,p .a{margin:0}", "p .a{margin:0}"),
        (".a:not(.b){margin:0}", ".a:not(.b){margin:0}"),
        ("@media print{.b{margin:0}}@media print{.a{margin:0}}", "@media print{.a{margin:0}}"),
        ("@font-face{font-family:F}html{margin:0}", "@font-face{font-family:F}html{margin:0}"),
        ("[class~=b]{margin:0}", "[class~=b]{margin:0}"),
    ],
)
def test_a_rule_is_kept_if_its_classes_are_in_use(sheet, kept):
    assert lean.used_rules(sheet, {"a"}) == kept


def test_addresses_lead_to_the_same_file_from_another_folder():
    assert lean.moved("a{b:url(../x/f.woff)}", "styles/deep", "styles") == "a{b:url(x/f.woff)}"
    assert lean.moved("a{b:url(data:x)}", "styles", "") == "a{b:url(data:x)}"
