"""The texts of month end: what Accounts are asked to put right, and what they and the team are told.

`found` is what the check found, as it was recorded when the case was opened.
"""

from domain.sops.shared_texts import Instruction, Template

_INVOICED = Instruction(
    clause="RL-11",
    title="A lead that is not to be charged is on an invoice",
    text="""\
{{ client_name }} was told that lead {{ found.lead_id }} is not charged. The books charge it all the same.

What: {{ waiting_for }}
Charged and not credited when this was found: {{ found.currency }} {{ found.gross }}
{% if linked_to %}
Who confirmed the return, and when, is in the case in which it was promised:
     holdfast case show {{ linked_to }}
{% endif %}

Holdfast makes no credit note here: the invoice is a draft, charges more than was confirmed, or is not the only one, a
note names the lead already, or the draft was declined. So this is done in Xero by you.

1. Look at the lead on each of these invoices:
{% for number in found.invoices %}
  {{ number }}
{% endfor %}
2. If the invoice is still a draft, take the lead's line off it.
3. If the invoice is issued or paid, make a credit note in Xero for exactly what the invoice charges for this lead, with
   the invoice's number as its reference and {{ found.lead_id }} in the description of its line, and authorise it. The
   Return Lead Team's confirmation of this lead is on record in the case above (RL-13). For a paid invoice, allocate
   or refund the note.
4. Put {{ found.lead_id }} on your list, so that it is not invoiced again:
     holdfast billing do-not-invoice
5. Say that it is done. The books are then read back; while they still charge the lead, you are asked again.
     holdfast step complete {{ case_id }} {{ step_id }} --done --note "..."
""",
)

UNCONFIRMED_NOTE = Template(
    clause="RL-13",
    internal=True,
    subject="[{{ token }}] Credit note {{ found.number or 'without a number' }}: no confirmation on record",
    text="""\
Hello,

There is a credit note in Xero for {{ client_name }} that the Return Lead Team's confirmation is not on record for:

  Number: {{ found.number or '(none)' }}
  State: {{ found.status }}
  Total: {{ found.currency }} {{ found.total }}
{% if found.lead_ids %}
  Leads that nobody confirmed: {{ found.lead_ids | join(', ') }}
{% else %}
  Its number looks like one of Holdfast's, and Holdfast made no such credit note.
{% endif %}

Credit notes for returned leads are issued only if the Return Lead Team confirmed them by e-mail (RL-13).

Accounts: please don't authorise or send it before you have spoken to the Return Lead Team; if it has gone out already,
tell them so.
Return Lead Team: please say whether these leads were returned. If they were, open the request, so that it is looked
into and confirmed like any other:
     holdfast return-lead open request.json

This is said once for each credit note. Holdfast changes nothing in Xero because of it.

Our reference: {{ token }}
""",
)

CONFIRM_CREDIT = Template(  # RL-12, RL-13
    clause="RL-13",
    internal=True,
    gated=True,
    subject="[{{ token }}] Confirmed return of {{ client_name }}, invoiced all the same: {{ found.lead_id }}",
    text="""\
Hello Accounts,

The Return Lead Team confirmed that {{ found.lead_id }} is a valid return of {{ client_name }}, who was told that it is
not charged. It is on an invoice all the same. This e-mail is the confirmation without which no credit note is issued
(RL-13). It covers exactly this lead and this amount, VAT included, and no other:

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
Promised in: {{ linked_to }}
Case: {{ case_id }}

A draft of the credit note is put into the books under the number above. You will be asked to authorise it as a step of
its own; until then nothing is credited. If anything here looks wrong, decline that step and say why.

The Return Lead Team
""",
)

TEMPLATES: dict[str, Template] = {"unconfirmed-note": UNCONFIRMED_NOTE, "confirm-to-accounts": CONFIRM_CREDIT}
INSTRUCTIONS: dict[str, Instruction] = {"invoiced-all-the-same": _INVOICED}
