"""What a patch says, as data."""

import pytest

from tailrace.tools.builtin.apply_patch import apply_patch
from tailrace.tools.errors import ToolFailed
from tailrace.tools.patch_grammar import AddFile, Chunk, DeleteFile, Line, UpdateFile, parse_patch

PATCH = """\
*** Begin Patch
*** Add File: a/new.txt
+one
+
+ two
*** Delete File: old.txt
*** Update File: src/x.py
*** Move to: src/y.py
@@ class A:
 stays

-goes
+comes
@@
+end
*** End of File
*** End Patch"""
HUNKS = [
    AddFile("a/new.txt", ("one", "", " two")),
    DeleteFile("old.txt"),
    UpdateFile(
        "src/x.py",
        "src/y.py",
        (
            Chunk("class A:", (Line(" ", "stays"), Line(" ", ""), Line("-", "goes"), Line("+", "comes")), False, 9),
            Chunk("", (Line("+", "end"),), True, 14),
        ),
    ),
]


@pytest.mark.parametrize(
    "text",
    [
        PATCH,
        PATCH + "\n\n",
        "\n  " + PATCH + "  \n",
        PATCH.replace("\n", "\r\n"),
        f"<<EOF\n{PATCH}\nEOF\n",
        f"<<'EOF'\n{PATCH}\nEOF",
        f'apply_patch <<"PATCH"\n{PATCH}\nPATCH\n',
    ],
)
def test_a_patch_is_understood_however_it_is_wrapped(text):
    """White space around it, a here-document, CRLF."""
    hunks = parse_patch(text)
    shift = text.split("\n").index(next(line for line in text.split("\n") if "Begin Patch" in line))
    moved = UpdateFile(
        "src/x.py", "src/y.py", tuple(chunk._replace(number=chunk.number + shift) for chunk in HUNKS[2].chunks)
    )
    assert hunks == [*HUNKS[:2], moved]


def test_the_first_chunk_may_do_without_its_header():
    """And empty lines between files belong to none."""
    text = "*** Begin Patch\n*** Update File: a\n-x\n+y\n\n*** Update File: b\n*** Move to: c\n\n*** End Patch"
    assert parse_patch(text) == [
        UpdateFile("a", None, (Chunk("", (Line("-", "x"), Line("+", "y")), False, 3),)),
        UpdateFile("b", "c", ()),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 of the patch: the patch must begin with `*** Begin Patch`; there is ''"),
        ("--- a\n+++ b", "line 1 of the patch: the patch must begin with"),
        ("*** Begin Patch\n*** Add File: a\n+x", "line 3 of the patch: the patch must end with `*** End Patch`"),
        ("*** Begin Patch\n*** End Patch", "the patch changes nothing"),
        ("*** Begin Patch\n*** Rename File: a\n*** End Patch", "line 2 of the patch: a line that begins with `*** Add"),
        ("*** Begin Patch\n*** Add File:  \n*** End Patch", "line 2 of the patch: a line that begins with"),
        ("*** Begin Patch\n*** Add File: a\nx\n*** End Patch", "line 3 of the patch: a line that begins with `*** Add"),
        ("*** Begin Patch\n*** Update File: a\n*** End Patch", "line 3 of the patch: no change of a follows"),
        ("*** Begin Patch\n*** Update File: a\n@@\n*** End Patch", "line 4 of the patch: a line that begins with ` `"),
        ("*** Begin Patch\n*** Update File: a\nx\n*** End Patch", "line 3 of the patch: a line that begins with ` `"),
        (
            "*** Begin Patch\n*** Update File: a\n-x\n+y\nz\n*** End Patch",
            "line 5 of the patch: `@@` or the next file is expected; there is 'z'",
        ),
    ],
)
def test_what_is_no_patch_is_said_with_its_line(text, said):
    """The model can mend it."""
    with pytest.raises(ToolFailed) as error:
        parse_patch(text)
    assert error.value.message.startswith(said)


def test_c28_the_example_in_the_description_is_a_patch():
    """What the model is told is what the tool takes."""
    start, end = apply_patch.description.index("*** Begin"), apply_patch.description.index("*** End Patch")
    example = apply_patch.description[start : end + len("*** End Patch")]
    assert [type(hunk) for hunk in parse_patch(example)] == [AddFile, UpdateFile, DeleteFile]
