"""What every SOP says the same way: how a text is made, the nudge, and what no document foresees.

Texts are Jinja2 sources; `adapters/letters` fills them in.
"""

from domain.model import Model


class Template(Model):
    """An e-mail's words. `internal` ones go to our own people only, with the case's token in the subject.

    `gated` ones promise or confirm money: they go out through the money gate, never as a plain letter. What is sent
    `after_answer` tells of what was granted.
    """

    clause: str
    subject: str
    text: str
    internal: bool = False
    gated: bool = False
    after_answer: bool = False


class Instruction(Model):
    """What a person is asked to do, in one line and in full, for somebody who has never done it."""

    clause: str
    title: str
    text: str


SHOW = """\
   See everything about it first:
     holdfast step show {{ case_id }} {{ step_id }}
"""

COMPLETE = "holdfast step complete {{ case_id }} {{ step_id }}"
HOW_IT_ENDED = f"""\
     {COMPLETE} --done --note "..."
   Or, if it doesn't matter (an old address in copy, say), waive it:
     {COMPLETE} --waive --note "..."
"""

_COULD_NOT = Instruction(
    clause="RL-15",
    title="Something could not be done: do it by hand, or waive it",
    text="""\
Holdfast tried this several times and could not do it, or can't tell whether it was done:

{% for one in broken %}
  {{ one.what }} ({{ one.clause }}), last answer: {{ one.code or "none" }}
{% else %}
  {{ waiting_for }}
{% endfor %}

The case goes on as soon as you have dealt with it; nothing else of it is held back.

1. See what was to be done.
"""
    + SHOW
    + """\
2. Look whether it was done after all: in the mailbox, on the task or ticket, on the sheet, in the chat or in the books.
3. If it was, say so with a note of where it can be seen. If it was not, do it by hand and say what you did:
     """
    + COMPLETE
    + """ --done --note "..."
4. If you are sure that it was not done, and what stood in its way is mended, have Holdfast do it again:
     """
    + COMPLETE
    + """ --resend --note "..."
5. If it need not be done any more, waive it, and say why. Your name is kept with it.
     """
    + COMPLETE
    + """ --waive --note "..."
""",
)

NOT_REACHED = "A mail of ours came back"
REPLY = "The client wrote: read it and answer"

_NOT_REACHED = Instruction(
    clause="RL-15",
    title=NOT_REACHED,
    text="""\
An e-mail of ours about this case came back: at least one of its recipients did not receive it.

1. See which e-mail it was, and to whom it went.
"""
    + SHOW
    + """\
2. Ask whoever did not receive it another way, and tell them what it said. If their address changed, have it corrected
   in our records.
3. Say what you did:
"""
    + HOW_IT_ENDED,
)

_REPLY = Instruction(
    clause="RL-15",
    title=REPLY,
    text="""\
Somebody outside wrote about this case. Nobody has answered yet.

1. Read what came in on the case's page, and see where the case stands.
"""
    + SHOW
    + """\
2. If it changes anything, see to it. If it needs an answer, answer where it was written.
3. Say that you have read it, and what you did:
     """
    + COMPLETE
    + """ --done --note "..."
""",
)

_LINKED_OPEN = Instruction(  # the same in every SOP: the clause is the step's own
    clause="RL-15",
    title="A case that was opened for this one is still open",
    text="""\
This case has done all that it had to do but one thing: a case that it opened is not over yet.

1. Look where that one stands, and who has it:
{% for linked in about %}
     holdfast case show {{ linked }}
{% endfor %}
2. Best is to have it finished: this case then ends by itself, and nothing is to be done here.
3. If this case need not wait for it, say so by your name and say why. The other case goes on by itself:
     holdfast step complete {{ case_id }} {{ step_id }} --waive --note "..."
""",
)

SHARED: dict[str, Instruction] = {
    "could-not": _COULD_NOT,
    "not-reached": _NOT_REACHED,
    "reply": _REPLY,
    "linked-open": _LINKED_OPEN,
}
"""By step: an effect that could not be carried out, a mail that came back, a reply, a case that is still open."""

NO_WORDS = Template(clause="", internal=True, subject="", text="")
NUDGE = Template(  # the steps themselves name their clause
    clause="RL-15",
    internal=True,
    subject="[{{ token }}] {% if chase and not why %}Reminder {{ chase }}: {% endif %}"
    "{% if replied %}The client wrote again: {% endif %}{% if passed_on %}Passed on: {% endif %}"
    "{{ title }}, due {{ due }}",
    text="""\
Hello{% if owner_name %} {{ owner_name }}{% endif %},

{% if why %}
{{ why }}

{% elif chase %}
This is reminder number {{ chase }}: the step below is still open.

{% endif %}
{% if passed_on %}
This step is yours from now on: whoever had it is away or left, the directory names you instead, or you are back.

{% endif %}
{% if replied %}
The client wrote again in the thread. What came in is shown with the step.

{% endif %}
{{ title }}
Client: {{ client_name }}
Case: {{ case_id }}
Asked of: {{ owner }}
{% if fell_back %}
Why you: {{ fell_back }}
{% endif %}
Due: {{ due }}
{% if why_due %}
Why then: {{ why_due }}
{% endif %}
Clause: {{ clause }}
{% if task_url %}
The task: {{ task_url }}
{% endif %}
{% if link %}

Open it, read everything and do it there:
{{ link }}
{% endif %}

{{ instructions }}
""",
)
