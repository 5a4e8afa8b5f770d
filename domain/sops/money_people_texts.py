"""What the approver reads when who acts for money has changed. `found` is what was recorded of the change."""

from domain.sops.shared_texts import Template

MONEY_PEOPLE = Template(  # RL-14
    clause="RL-14",
    internal=True,
    subject="[{{ token }}] Who may act for money has changed",
    text="""\
Hello,

Since {{ opened_at }} this is so in Holdfast:

{% for line in found.changes %}
  {{ line }}
{% endfor %}

If you know of it, there is nothing to do. If you don't, speak to the partners and to whoever runs Holdfast at once, and
have everything held until it is clear:
     holdfast hold --all
     holdfast approvals list

This is said once for each change. It goes to whoever approves returns now, and to whoever did in the last 30 days.

Our reference: {{ token }}
""",
)

TEMPLATES: dict[str, Template] = {"money-people": MONEY_PEOPLE}
