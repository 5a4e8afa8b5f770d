"""The department request's texts: comments, notes, messages and instructions, each beside the clause it carries out.

`brief` is the task and whom it concerns, as they stand when something is said; `asked` the request's own words.
"""

from domain.sops.shared_texts import COMPLETE, NOT_REACHED, REPLY, SHOW, Instruction, Template

_WHO = "{% for one in brief.relevant %}@{{ one.name }} {% endfor %}"

ASSIGNED = Template(  # ID-6: directed to the relevant team member
    clause="ID-6",
    internal=True,
    subject="{{ brief.title or 'A task for you' }}",
    text=_WHO
    + """
{% if brief.fell_back %}
(You get this because {{ brief.fell_back }}.)
{% endif %}
this task is yours{% if client_id %}; it is for {{ client_name }}{% endif %}.

{{ brief.details }}

Please say here how it goes, and complete the task when it is done. The CSS and the CSM are on it with you.
{% if brief.page %}
Everything about it, and who waits for what until when: {{ brief.page }}
{% endif %}
""",
)

TOLD = Template(  # ID-9 to ID-12: on Slack the subject and the task's link, elsewhere all of it
    clause="ID-10",
    internal=True,
    subject="{{ asked.title or 'A task for you' }}{% if client_id %} ({{ client_name }}){% endif %}",
    text="""\
Hello,

there is a task for you{% if client_id %}, for {{ client_name }}{% endif %}:

{{ asked.title }}

{{ asked.details }}

It is commented on in Teamwork; please answer there, so that everybody reads the same.
{% if brief.task_url %}
The task: {{ brief.task_url }}
{% endif %}

Our reference: {{ token }}
""",
)

ASK_ESTIMATE = Template(  # ID-5
    clause="ID-5",
    internal=True,
    subject="How long does this take?",
    text=_WHO
    + """
how long will this take? Please answer in a comment here: for instance "8 days", "36 hours" or "2026-12-04".
The due date of the task then follows your answer.
""",
)

FOLLOW_UP = Template(  # ID-8: the CSS's own words
    clause="ID-8",
    internal=True,
    subject="Follow-up",
    text=_WHO
    + """
{{ said }}
""",
)

TICKET_ASSIGNED = Template(  # ID-8
    clause="ID-8",
    internal=True,
    subject="With the department",
    text="""\
This ticket is with {{ department or 'a department' }} now: {{ asked.title }}
{% if brief.task_url %}
The task in Teamwork: {{ brief.task_url }}
{% endif %}
""",
)

TICKET_FOLLOW_UP = Template(clause="ID-8", internal=True, subject="Follow-up", text="{{ said }}\n")

TEMPLATES: dict[str, Template] = {
    "assigned": ASSIGNED,
    "told": TOLD,
    "ask-estimate": ASK_ESTIMATE,
    "follow-up": FOLLOW_UP,
    "ticket-assigned": TICKET_ASSIGNED,
    "ticket-follow-up": TICKET_FOLLOW_UP,
}

_ABOUT = """\
{% if asked.title %}
What: {{ asked.title }}
{% endif %}
{% if asked.details %}

{{ asked.details }}
{% endif %}

"""

_ROUTE = Instruction(
    clause="ID-4",
    title="Say which department a task is for",
    text=_ABOUT
    + """\
This task was made in Teamwork or at the ticket desk without everybody on it who belongs there. Holdfast puts the
relevant team member, you and your CSM on it, gives it a due date and a comment, once you say whom it is for.

1. Open the task, and find out which department has to do it.
2. Look the department up, if you are not sure:
     holdfast directory show
3. Say so:
     holdfast step complete {{ case_id }} {{ step_id }} --department ppc
""",
)

_PROCESS = Instruction(
    clause="ID-3",
    title="Process a request",
    text=_ABOUT
    + """\
The task is in Teamwork, with the CSS and the CSM on it as well.

1. Read the task and its comments. Ask in a comment if something is not clear: the CSS is told.
2. If it takes longer than the day it is due, say so in a comment before that day.
3. Do it, and complete the task in Teamwork. That ends it here as well; nobody is reminded any more.
   Or say it here:
     holdfast step complete {{ case_id }} {{ step_id }} --done --note "..."
""",
)

_ESTIMATE = Instruction(
    clause="ID-5",
    title="Say how long a request takes",
    text=_ABOUT
    + """\
Whoever asked was not sure how long this takes. The due date follows your answer; what was promised until then stays
beside it.

1. Look at the task, and ask whoever does it.
2. Answer in a comment on the task, with nothing else in it that looks like a time: "8 days", "36 hours" or a day such
   as "2026-12-04". Or say it here:
     holdfast step complete {{ case_id }} {{ step_id }} --hours 192
     holdfast step complete {{ case_id }} {{ step_id }} --on 2026-12-04
""",
)

_FOLLOW_UP = Instruction(
    clause="ID-8",
    title="Follow up with the department",
    text=_ABOUT
    + """\
A task or ticket is followed up with a note at least every 48 hours until it is done.

1. Look at the task in Teamwork{% if found.ticket_id %} and at the ticket{% endif %}: what was said since the last note?
2. Speak with the department's contact.
3. Write what you asked and what you heard. The note goes on the task{% if found.ticket_id %} and on the ticket{% endif
%}, directed to the contact:
     holdfast step complete {{ case_id }} {{ step_id }} --done --note "..."
   A comment of yours on the task in Teamwork counts as well: then nothing is to be done here.
""",
)

_ASSIGN = Instruction(
    clause="ID-4",
    title="Put somebody on a task by hand",
    text=_ABOUT
    + """\
No task is unassigned: the relevant team member, the CSS and the CSM are all on it. Teamwork does not know these people
by the address that is on record here: {{ about | join(', ') }}

1. Find them in Teamwork, or have an account made for them, and assign the task to them as well.
2. Have their Teamwork id put on record, so that this is not asked again (samples/channels.csv shows the form).
3. Say that it is done:
     holdfast step complete {{ case_id }} {{ step_id }} --done --note "..."
""",
)

_NOT_DELIVERED = Instruction(
    clause="ID-11",
    title="Tell somebody another way",
    text=_ABOUT
    + """\
A message of ours about this request was taken on its way and did not arrive after all, says WhatsApp.

1. Tell the department's contact another way: on Slack, by e-mail, or ring them.
2. Have their number corrected if it is no longer theirs (samples/channels.csv shows the form).
3. Say what you did:
     holdfast step complete {{ case_id }} {{ step_id }} --done --note "..."
""",
)

_NOT_REACHED = Instruction(
    clause="ID-11",
    title=NOT_REACHED,
    text=_ABOUT
    + """\
An e-mail of ours about this request came back: whoever should have it did not receive it.

1. See to whom it went.
"""
    + SHOW
    + """\
2. Tell them another way what it said: in a comment on the task, on Slack, or ring them.
3. Have their address corrected if it is no longer theirs (samples/channels.csv shows the form).
4. Say what you did:
     """
    + COMPLETE
    + """ --done --note "..."
   Or, if it doesn't matter, waive it:
     """
    + COMPLETE
    + """ --waive --note "..."
""",
)

_REPLY = Instruction(
    clause="ID-8",
    title=REPLY,
    text=_ABOUT
    + """\
{{ client_name or "The client" }} wrote about this request. Nobody has answered yet.

1. Read what came in on the case's page, and see where the request stands.
"""
    + SHOW
    + """\
2. If it changes what is to be done, tell the department's contact in a comment on the task.
3. If it needs an answer, answer where the client wrote. Promise no day that the department did not give.
4. Say that you have read it, and what you did:
     """
    + COMPLETE
    + """ --done --note "..."
""",
)

INSTRUCTIONS: dict[str, Instruction] = {
    "not-reached": _NOT_REACHED,
    "reply": _REPLY,
    "not-delivered": _NOT_DELIVERED,
    "route": _ROUTE,
    "process": _PROCESS,
    "estimate": _ESTIMATE,
    "follow-up": _FOLLOW_UP,
    "assign-by-hand": _ASSIGN,
}
