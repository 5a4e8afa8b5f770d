"""The Return Lead SOP's texts as data: letters, reasons and instructions, each beside the clause it carries out.

Texts are Jinja2 sources; `adapters/letters` fills them in. What comes from outside reaches them as values,
never as source.
"""

from domain.mail import LOOP_IN_SENTENCE
from domain.return_lead import ClaimProblem, Doubt
from domain.sops.shared_texts import COMPLETE, HOW_IT_ENDED, NOT_REACHED, REPLY, SHARED, SHOW, Instruction, Template

_SIGNED = """
Our reference: {{ token }}

Kind regards,
The Return Lead Team
CommVersion
"""

_LEAD_LIST = """\
{% for lead_id in lead_ids %}
  {{ lead_id }}
{% endfor %}
"""

_REFUSALS = """\
{% for one in answer.refused %}
{{ one.lead_id }}
  {{ one.text | indent(2) }}

{% endfor %}
"""

LOOP_IN = Template(  # RL-2, RL-3
    clause="RL-3",
    subject="{{ reply_subject }}",
    text=f"""\
Hello,

Thank you for your e-mail.

{LOOP_IN_SENTENCE}

Kind regards,
{{{{ department_name }}}}
CommVersion
""",
)

ACKNOWLEDGE = Template(  # RL-2: the client wrote to the returns inbox himself
    clause="RL-2",
    subject="{{ reply_subject }}",
    text="""\
Hello,

Thank you for your e-mail. It has reached the Return Lead Team, and we will look into each of these leads:

"""
    + _LEAD_LIST
    + """
There is nothing you need to do now. We will reply to everyone on this e-mail once we have looked at them all.
If you have something that would help us (a recording, a screenshot, a date), please reply to this e-mail with it.
"""
    + _SIGNED,
)

HOLDING_NOTE = Template(  # RL-4: the investigation takes longer than promised
    clause="RL-4",
    subject="{{ reply_subject }}",
    text="""\
Hello,

We are still looking into the leads you wrote to us about{% if sent_on %} on {{ sent_on }}{% endif %}, and it is taking
longer than we would like. We are sorry to keep you waiting.

"""
    + _LEAD_LIST
    + """
We would rather answer about all of them at once, so you will have one complete reply from us as soon as we are done.
There is nothing you need to do.
"""
    + _SIGNED,
)

REFUSED = Template(  # RL-9: to ALL recipients, a detailed reason a lead
    clause="RL-9",
    subject="{{ reply_subject }}",
    text="""\
Hello,

Thank you for your patience while we looked into your request. We have gone through it lead by lead, and we are not able
to accept a return this time. Here is the reason for each lead:

"""
    + _REFUSALS
    + """\
If you see it differently, or know something about a lead that we don't, please reply to this e-mail and tell us.
We will look again.
"""
    + _SIGNED,
)

ANSWER = Template(  # RL-5, RL-6, RL-9 in one coherent reply
    clause="RL-5",
    gated=True,
    subject="{{ reply_subject }}",
    text="""\
Hello,

Thank you for your patience while we looked into your request. We have gone through it lead by lead; this is our answer
to all of it.

{% if answer.not_charged %}
Leads you will not be charged for
We accept these leads as returns. They have not been invoiced, and you will not be charged for them:

{% for lead_id in answer.not_charged %}
  {{ lead_id }}
{% endfor %}

{% endif %}
{% if answer.credits %}
Leads we have credited
We accept these leads as returns. They had already been invoiced, so a credit note has been issued for them:

{% for credit in answer.credits %}
  Credit note {{ credit.number }} for invoice {{ credit.invoice_number }}: {{ credit.total | money(credit.currency) }}
{% for lead in credit.leads %}
    {{ lead.lead_id }}  {{ lead.gross | money(credit.currency) }}
{% endfor %}
{% if credit.paid %}
    This invoice is already paid: our Accounts team will set the amount against another invoice or refund it.
{% endif %}

{% endfor %}
{% endif %}
{% if answer.credited_before %}
Leads that were credited before
Our books already hold a credit for these leads, so there is nothing more to credit:

{% for lead_id in answer.credited_before %}
  {{ lead_id }}
{% endfor %}

{% endif %}
{% if answer.pending %}
Leads our Accounts team will write to you about
We accept these leads as returns. How they are taken off your account is still with our Accounts team, who will confirm
it to you separately:

{% for lead_id in answer.pending %}
  {{ lead_id }}
{% endfor %}

{% endif %}
{% if answer.refused %}
Leads we are not able to accept
Here is the reason for each of them:

"""
    + _REFUSALS
    + """\
If you see it differently, or know something about a lead that we don't, please reply to this e-mail and tell us.
We will look again.
{% endif %}
"""
    + _SIGNED,
)

CONFIRM_TO_ACCOUNTS = Template(  # RL-12, RL-13
    clause="RL-13",
    gated=True,
    internal=True,
    subject="[{{ token }}] Confirmed returns of {{ client_name }}: please issue {{ answer.to_issue | length | notes }}",
    text="""\
Hello Accounts,

The Return Lead Team confirms that the leads below are valid returns of {{ client_name }}. This e-mail is the
confirmation without which no credit note is issued (RL-13). It covers exactly these leads and these amounts, VAT
included, and no others:

{% for credit in answer.to_issue %}
Invoice {{ credit.invoice_number }}, credit note {{ credit.number }}, {{ credit.total | money(credit.currency) }} in all
{% for lead in credit.leads %}
  {{ lead.lead_id }}  {{ lead.gross | money(credit.currency) }}
{% endfor %}
{% if credit.paid %}
  This invoice is already paid: after the credit note, its amount has to be allocated or refunded in the books.
{% endif %}

{% endfor %}
Confirmed by: {{ confirmed_by }}
Confirmed at: {{ confirmed_at }}
Case: {{ case_id }}

A draft of each credit note is put into the books under the number above. You will be asked to authorise it as a step of
its own; until then nothing is credited. If anything here looks wrong, decline that step and say why.

The Return Lead Team
""",
)

FINAL_ACTION = Template(  # RL-8
    clause="RL-8",
    after_answer=True,
    internal=True,
    subject="[{{ token }}] Final action on the returned leads of {{ client_name }}",
    text="""\
Hello Accounts,

The return-lead request of {{ client_name }} is settled. This is the final action for each lead:

{% for lead_id in answer.not_charged %}
  {{ lead_id }}  valid, not to be invoiced (do-not-invoice list)
{% endfor %}
{% for credit in answer.credits %}
{% for lead in credit.leads %}
  {{ lead.lead_id }}  valid, credited: {{ lead.gross | money(credit.currency) }} of invoice {{
  credit.invoice_number }}, \
credit note {{ credit.number }}
{% endfor %}
{% endfor %}
{% for lead_id in answer.credited_before %}
  {{ lead_id }}  the books already held a credit for it: nothing done
{% endfor %}
{% for lead_id in answer.pending %}
  {{ lead_id }}  valid, but not settled by Holdfast: to be settled in the books by hand
{% endfor %}
{% for one in answer.refused %}
{% if one.problem %}
  {{ one.lead_id }}  not looked into ({{ one.problem.replace("-", " ") }}): nothing changes
{% else %}
  {{ one.lead_id }}  not returned: to be charged as usual
{% endif %}
{% endfor %}

{% if confirmed_by %}
Confirmed by: {{ confirmed_by }}
{% endif %}
Case: {{ case_id }}

There is nothing to do unless a line above says so.

The Return Lead Team
""",
)

FILE_COPY = Template(  # RL-1
    clause="RL-1",
    internal=True,
    subject="[{{ token }}] Return-lead request of {{ client_name }}, opened without an e-mail",
    text="""\
This return-lead request was opened at {{ opened_at }} without an e-mail from the client. This is the copy for
the returns inbox, where all returns are tracked (RL-1).

Client: {{ client_name }} ({{ client_id }})
Case: {{ case_id }}
{% if note %}
Note: {{ note | indent(2) }}
{% endif %}
Leads:

"""
    + _LEAD_LIST,
)

DECISION = Template(  # RL-10: the team is informed of the final decision
    clause="RL-10",
    internal=True,
    subject="[{{ token }}] Final decision on the leads disputed by {{ client_name }}",
    text="""\
Hello Return Leads team,

The account manager has closed the loop with {{ client_name }} about the leads the client disputed. This is the final
decision about each of them (RL-10):

{% for one in decided %}
{{ one.lead_id }}  {{ one.decision }}
  {{ one.text | indent(2) }}

{% endfor %}
A lead that is overturned is a return after all. It has a case of its own now, in which you record your findings and
confirm as always; invoice, credit note and approval follow the same rules. A lead that is upheld stays refused, and
can't be disputed again.

Case: {{ case_id }}
""",
)

TEMPLATES: dict[str, Template] = {
    "loop-in": LOOP_IN,
    "acknowledge": ACKNOWLEDGE,
    "holding-note": HOLDING_NOTE,
    "refused": REFUSED,
    "answer": ANSWER,
    "confirm-to-accounts": CONFIRM_TO_ACCOUNTS,
    "final-action": FINAL_ACTION,
    "file-copy": FILE_COPY,
    "decision": DECISION,
}

# RL-9: a lead that is answered without an investigation has its own clear reason too.
PROBLEM_TEXTS: dict[ClaimProblem, str] = {
    ClaimProblem.UNKNOWN: (
        "We can't find a lead with this number among the leads we have sent. Please check the number, and write to us "
        "again if you meant another one."
    ),
    ClaimProblem.OTHER_CLIENT: (
        "This number is not one of your leads, so you were not charged for it. Please check the number, and "
        "write to us "
        "again if you meant another one."
    ),
    ClaimProblem.ALREADY_RETURNED: (
        "This lead has been returned before. A lead is credited once, so there is nothing more to take off for it."
    ),
    ClaimProblem.TWICE: (
        "Your request names this lead more than once. We have looked at it once; the answer is in this e-mail."
    ),
    ClaimProblem.ELSEWHERE: (
        "We are already looking into this lead because of an earlier request of yours. You will have our answer "
        "about it "
        "there."
    ),
}

# RL-2, RL-4: why a person looks before anything is done or sent.
DOUBT_TEXTS: dict[Doubt, str] = {
    Doubt.SENDER_UNKNOWN: "The e-mail comes from an address that is neither a client's nor one of our own.",
    Doubt.SENDER_UNAUTHENTICATED: (
        "Our mail server could not confirm that the e-mail really comes from the address it gives. It may be forged."
    ),
    Doubt.ORIGINAL_UNREADABLE: (
        "A department forwarded the e-mail, but the client's own message can't be read in it, so we don't know "
        "whom to answer."
    ),
    Doubt.NO_LEADS: "No lead number could be found in the e-mail or its attachments.",
    Doubt.UNREADABLE_LEADS: "Part of the e-mail or its attachments could not be read, so some leads may be missing.",
    Doubt.UNREADABLE_MAIL: (
        "The e-mail is too large or broken, so it was not read. It still lies in the returns inbox; open it there."
    ),
    Doubt.CASE_ENDED: "Somebody wrote about a case that is already closed.",
    Doubt.LATE_REPLY: "The client replied to our answer after its case was closed.",
    Doubt.CLIENT_NOT_REACHED: (
        "An e-mail of ours about a case that is already closed came back: the client did not receive it."
    ),
}

_TRIAGE = Instruction(
    clause="RL-1",
    title="Look at a return request that can't be taken as it came",
    text="""\
Something about this request means that a person has to look before anything is done. Nothing has been sent to anybody.
{% if doubt %}

Why: {{ doubt }}
{% endif %}

1. Read the e-mail.
"""
    + SHOW
    + """\
2. Ask yourself: is this really a client asking to return leads? If you are not sure, ring the client on a number from
   our records, not one from the e-mail.
3. If it is one, find the client's id and the lead numbers, and take the request in with your name under it.
   By doing so you also agree that the people shown in the e-mail receive our answer.
     """
    + COMPLETE
    + """ --accept --client CLIENT --leads L-1001,L-1002
4. If it is not (spam, a mistake, not about returned leads), turn it away. Nobody is written to.
     """
    + COMPLETE
    + """ --reject
""",
)

_INVESTIGATE = Instruction(
    clause="RL-4",
    title="Investigate the returned leads, one by one",
    text="""\
{{ client_name }} asks to return these leads:

{% for lead_id in to_investigate %}
  {{ lead_id }}
{% endfor %}

1. Take the step, so that nobody else does the same work.
     holdfast step claim {{ case_id }} {{ step_id }}
2. Read what the client says about each lead.
"""
    + SHOW
    + """\
3. For each lead open its chat and the call or form behind it. Ask: did a real person ask for a service this client
   offers, in the client's area, with contact details that work? Has the client had this lead before?
4. Decide for each lead: valid (it is a return) or not-valid (it was a good lead). Choose the reason that fits:
     spam, duplicate, wrong-service, out-of-area, wrong-contact-details, job-seeker,
     genuine-enquiry, outside-return-window, client-made-contact, other
5. Write two or three sentences a lead for the client: what you looked at, what you found, why it decides the matter.
   For a lead that is not valid, the client and everyone on the e-mail read exactly these words (RL-9), so "not valid"
   is not enough. Save what supports it (the chat, a call log, a screenshot) as a file beside the table.
6. Hand it in, all leads at once: the step's page has a table for it, and keeps what you put down until then.
   On the command line it is one CSV with the columns lead_id,verdict,reason,text,evidence (evidence: the names of those
   files, with spaces between them):
     """
    + COMPLETE
    + """ --findings findings.csv
   Or lead by lead; the last one hands them in:
     """
    + COMPLETE
    + """ --lead L-1001 --verdict valid --reason spam --text "..." --evidence chat.txt
You don't need to look at invoices: how each lead is billed is read from the books afterwards.
""",
)

_CONFIRM = Instruction(
    clause="RL-13",
    title="Confirm the valid leads and the answer to the client",
    text="""\
A named member of the Return Lead Team stands behind what {{ client_name }} is promised: the leads that won't
be charged, and the leads for which Accounts issue a credit note. Accounts do so only upon this confirmation
(RL-12, RL-13).

1. Look at the settlement and at the answer the client will get, and check every lead and amount.
"""
    + SHOW
    + """\
2. If everything is right, confirm. The answer is shown once more, and your name stands under it.
     """
    + COMPLETE
    + """ --confirm
3. If something is wrong, don't confirm: talk to whoever investigated, and to your manager.
Whoever confirms can't authorise the credit note as well.
""",
)

_NEEDS_APPROVAL = Instruction(
    clause="RL-14",
    title="The returns are above the limit: reduce or reject them",
    text="""\
The valid leads of {{ client_name }} can't be granted without approval. Together with what was granted this
month and on the same invoices they come to more than {{ limit }}, or a price or an exchange rate is missing or changed.
{% if total %}
These leads alone come to {{ total }}.
{% endif %}

1. See which leads there are and what each comes to.
"""
    + SHOW
    + """\
2. Speak to Shobhit Patil internally. The client is never on that conversation.
3. Take out the leads that are not granted, each with the words the client will read. To reject them all, name them all.
   Put them in a CSV with the columns lead_id,text:
     """
    + COMPLETE
    + """ --reduce withdrawn.csv
Nothing is granted by waiting: the case stays here until somebody decides.
""",
)

_TAKE_OFF = Instruction(
    clause="RL-11",
    title="Take the returned leads off the draft invoice",
    text="""\
These leads of {{ client_name }} are valid returns and stand on an invoice that has not been issued yet. No
invoice may be issued for them (RL-11):

{% for lead in draft_leads %}
  {{ lead.lead_id }} on draft invoice {{ lead.invoice_number }}
{% endfor %}

1. Open the draft invoice in Xero.
2. Delete the line of each lead above. If a line covers several leads, lower its quantity and take the lead's number out
   of the description.
3. Save the invoice as a draft. Don't issue it before step 4 is done.
4. Say that it is done. We read the invoice again before the client is told anything.
     """
    + COMPLETE
    + """ --taken-off
""",
)

_AUTHORISE = Instruction(
    clause="RL-12",
    title="Authorise the credit note",
    text="""\
The Return Lead Team confirmed these leads of {{ client_name }} by e-mail (RL-13), and a draft credit note is
in the books:

{% for credit in answer.to_issue %}
  {{ credit.number }} for invoice {{ credit.invoice_number }}: {{ credit.total | money(credit.currency) }}
{% for lead in credit.leads %}
    {{ lead.lead_id }}  {{ lead.gross | money(credit.currency) }}
{% endfor %}
{% endfor %}

1. Find the confirmation e-mail of the Return Lead Team in the Accounts mailbox (its subject starts with [{{ token }}]).
2. Open the draft in Xero and compare client, invoice, leads and total with that e-mail.
"""
    + SHOW
    + """\
3. If everything agrees, authorise it here, with your name. Holdfast then authorises it in Xero: don't do it
   there yourself.
     """
    + COMPLETE
    + """ --authorise
4. If something doesn't agree, decline and say why.
     """
    + COMPLETE
    + """ --decline --reason "..."
Whoever investigated or confirmed these leads can't authorise the credit note.
""",
)

_DECLINED = Instruction(
    clause="RL-12",
    title="Accounts declined the credit note: settle it with them",
    text="""\
Accounts would not authorise the credit note for the leads of {{ client_name }}. Nothing has been credited, and
the client has not been told anything yet.

  {{ declining or "They gave no reason: ask them." }}

1. Look at what the draft should say.
"""
    + SHOW
    + """\
2. Talk to Accounts. If the draft in Xero is wrong (client, invoice, leads or amounts), it is put right there.
3. Once you agree, say so. Accounts are then asked to authorise again.
     """
    + COMPLETE
    + """ --done --note "..."
""",
)

_VOID_DRAFT = Instruction(
    clause="RL-12",
    title="Void a draft credit note that is no longer right",
    text="""\
A draft credit note was put into the books for {{ client_name }}. Before it was authorised something about it changed,
so it is not authorised any more, and what is still to be credited gets a draft of its own:

{% for number in about %}
  {{ number }}
{% endfor %}

1. Find the draft in Xero by that number and delete or void it. If there is none any more, there is nothing to do.
2. Say that it is done. The books are then read back; while they still hold the draft, you are asked again.
     """
    + COMPLETE
    + """ --done --note "..."
""",
)

_ALLOCATE = Instruction(
    clause="RL-12",
    title="Allocate or refund the credit of a paid invoice",
    text="""\
A credit note was issued for an invoice that {{ client_name }} has already paid, so its amount has to go somewhere:

{% for credit in answer.credits if credit.paid %}
  {{ credit.number }} for invoice {{ credit.invoice_number }}: {{ credit.total | money(credit.currency) }}
{% endfor %}

1. Open the credit note in Xero.
2. If the client has another open invoice, allocate the credit to it. Otherwise make the refund the way
   Accounts always do.
   Holdfast never pays anything out.
3. Say that it is done:
     """
    + COMPLETE
    + """ --allocated
""",
)

_LOOK = Instruction(
    clause="RL-15",
    title="Look at something that came in for a case that is closed",
    text="""\
Something came in for a case that is already closed{% if linked_to %} ({{ linked_to }}){% endif %}. Nobody has
answered it.
{% if doubt %}

What: {{ doubt }}
{% endif %}

1. Read what came in, and what was decided before.
"""
    + SHOW
    + """\
{% if linked_to %}
     holdfast case show {{ linked_to }}
{% endif %}
2. Answer from the returns inbox if an answer is needed. If the client names other leads, ask for a new e-mail
   about them, or open a request yourself:
     holdfast return-lead open request.json
3. Say what you did:
     """
    + COMPLETE
    + """ --done --note "..."
""",
)

_APPROVAL = Instruction(
    clause="RL-14",
    title="Approve, reject or ask back: returned leads above the limit",
    text="""\
The Return Lead Team found these leads of {{ client_name }} to be valid returns. Together with what was granted this
month and on the same invoices they come to more than {{ limit }}, or a price or an exchange rate is missing or changed.
Nothing has been promised to the client, who is not on this conversation.

{% for lead in valid_leads %}
  {{ lead.lead_id }}: {{ lead.gross | money(lead.currency) if lead.gross is not none else "no price" }}
  {{- ", invoice " ~ lead.invoice_number if lead.invoice_number else ", not invoiced" }}
{% endfor %}
{% if total %}
These leads alone come to {{ total }}.
{% endif %}
{% if conversation %}

What was said before, for our own people only:

{% for line in conversation %}
  {{ line }}
{% endfor %}
{% endif %}

1. See which leads there are, what each comes to, why each is valid, and what was granted before this month.
"""
    + SHOW
    + """\
2. Decide about exactly these leads and amounts. A reason stays internal; the client never reads it.
     holdfast approvals decide {{ case_id }} --approve
     holdfast approvals decide {{ case_id }} --reject --reason "..."
     holdfast approvals decide {{ case_id }} --ask-back --reason "What you want to know"
Nothing is granted by waiting, and no link decides anything by being opened.
""",
)

_ANSWER_BACK = Instruction(
    clause="RL-14",
    title="The approver asks something about the returned leads",
    text="""\
Before deciding about the leads of {{ client_name }}, the approver wants to know something more:

  {{ asked_back or "The words of the question can't be read any more: ask the approver." }}

1. Find the answer.
"""
    + SHOW
    + """\
2. Write it here. The approver reads it when he is asked again, which is at once; the client never does.
     """
    + COMPLETE
    + """ --done --note "..."
""",
)

_REJECTED = Instruction(
    clause="RL-14",
    title="The approver rejected the returns: write the client's text",
    text="""\
The approver rejected the leads of {{ client_name }}. The reason is internal; the client reads only what you
write here.

  {{ rejection or "The words of the reason can't be read any more: ask the approver." }}

1. See which leads there are.
"""
    + SHOW
    + """\
2. Write for each lead why it is not taken back, in a CSV with the columns lead_id,text, and hand it in:
     """
    + COMPLETE
    + """ --reduce withdrawn.csv
""",
)

_MARK = Instruction(
    clause="RL-10",
    title="The client replied to our answer: say what the reply is",
    text="""\
{{ client_name }} replied to the answer in which these leads were refused:

{% for lead_id in about %}
  {{ lead_id }}
{% endfor %}
{% if linked_to and doubt %}

{{ doubt }} The answer and its reasons are in that case; what you say here decides what becomes of the reply.
{% endif %}

1. Read the reply; what came in is shown with the step.
"""
    + SHOW
    + """\
{% if linked_to and doubt %}
     holdfast case show {{ linked_to }}
{% endif %}
2. The client accepts the answer, or only says thank you:
     """
    + COMPLETE
    + """ --mark accepts
3. The client disagrees about some of these leads: name them. The account managers take over from you.
     """
    + COMPLETE
    + """ --mark disputes --leads L-1001,L-1002
   Each lead is disputed once: one that an account manager has decided finally is not listed above any more.
4. The client names other leads: open a request about them, then say so.
     holdfast return-lead open request.json
     """
    + COMPLETE
    + """ --mark new-leads --leads L-2001
5. Anything else: answer from the returns inbox if an answer is needed, and say what it was.
     """
    + COMPLETE
    + """ --mark other --note "..."
""",
)

_DISPUTE = Instruction(
    clause="RL-10",
    title="The client disputes our answer: take over and decide finally",
    text="""\
{{ client_name }} does not agree that these leads were refused. You were in copy of the client's request, or look after
the client, so the conversation is yours from here on; the Return Lead Team does not answer any more:

{% for lead_id in about %}
  {{ lead_id }}
{% endfor %}

1. Read the request, our answer with its reasons, and what the client replied.
"""
    + SHOW
    + """\
2. Speak with the client, and with whoever investigated. Answer in the client's thread, with the returns inbox in copy.
   Don't promise a credit: an overturned lead is investigated and confirmed again, and may need an approval (RL-14).
3. Decide about each lead above, once: overturned (it is a return after all) or upheld (it stays refused). Write for
   each what you decided and why. Your decision is final, and the team is told of it.
   Put them in a CSV with the columns lead_id,decision,reason,text (reason: for overturned leads, such as spam or
   wrong-service), and hand it in with your name:
     """
    + COMPLETE
    + """ --decided decision.csv
If the client writes again meanwhile, you are told.
""",
)

_NOT_REACHED = Instruction(
    clause="RL-9",
    title=NOT_REACHED,
    text="""\
An e-mail of ours to {{ client_name }} came back: at least one of its recipients did not receive it.

1. See which e-mail it was, and to whom it went.
"""
    + SHOW
    + """\
2. Check the address with the client: ring them on a number from our records.
3. Send them the text by hand from the returns inbox, so that it is tracked there (RL-1). If their address
   changed, have it corrected in our records.
4. Say what you did:
"""
    + HOW_IT_ENDED,
)

_REPLY = Instruction(
    clause="RL-9",
    title=REPLY,
    text="""\
{{ client_name }} wrote in the thread of this request. Nobody has answered yet.

1. Read it in the returns inbox, and see where the request stands.
"""
    + SHOW
    + """\
2. If it changes what you are looking into, take it into account. If it needs an answer, answer from the returns inbox.
   Don't promise a credit or that a lead won't be charged: that goes out with the answer once it is confirmed.
3. Say that you have read it, and what you did:
     """
    + COMPLETE
    + """ --done --note "..."
""",
)

INSTRUCTIONS: dict[str, Instruction] = SHARED | {
    "not-reached": _NOT_REACHED,
    "reply": _REPLY,
    "triage": _TRIAGE,
    "investigate": _INVESTIGATE,
    "confirm": _CONFIRM,
    "needs-approval": _NEEDS_APPROVAL,
    "approval": _APPROVAL,
    "answer-back": _ANSWER_BACK,
    "rejected": _REJECTED,
    "take-off": _TAKE_OFF,
    "authorise": _AUTHORISE,
    "declined": _DECLINED,
    "void-draft": _VOID_DRAFT,
    "allocate": _ALLOCATE,
    "mark": _MARK,
    "dispute": _DISPUTE,
    "look": _LOOK,
}
