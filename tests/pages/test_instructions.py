from domain.sops.return_lead_texts import INSTRUCTIONS
from starter.pages.instructions import read_instructions

TEXT = """\
Acme asks to return these leads:

  L-1001
    GBP 60.00

1. Look at each of them, and write down
   what you find. See everything about it first:
     holdfast step show CASE investigate
2. Say that it is done:
     holdfast step complete CASE investigate --done
Whoever confirms does nothing else.
"""


def test_a_step_is_numbered_and_its_commands_stand_apart() -> None:
    read = read_instructions(TEXT)
    assert [(block.number, block.text) for block in read.blocks] == [
        (0, "Acme asks to return these leads:"),
        (1, "Look at each of them, and write down what you find."),
        (2, "Say that it is done."),
        (0, "Whoever confirms does nothing else."),
    ]
    assert read.blocks[0].items == ["L-1001", "GBP 60.00"]
    assert read.commands == [
        "holdfast step show CASE investigate",
        "holdfast step complete CASE investigate --done",
    ]


def test_no_instruction_shows_a_command_among_its_words() -> None:
    for name, instruction in INSTRUCTIONS.items():
        blocks = read_instructions(instruction.text).blocks
        assert blocks, name
        assert not [block for block in blocks if "holdfast step" in block.text], name
