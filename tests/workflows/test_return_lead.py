"""The Return Lead SOP on a real server, with real mail and a real database."""

import pytest

from tests.agency import Agency, letter


@pytest.mark.clause("RL-12")
async def test_four_leads_on_one_issued_invoice(agency: Agency) -> None:
    leads = ["L-1001", "L-1002", "L-1003", "L-1004"]
    case_id = await agency.receive(letter(", ".join(leads)))
    await agency.find(case_id, leads)
    await agency.confirm(case_id)
    await agency.authorise(case_id)
    assert (await agency.result(case_id)).valid == 4
    (note,) = agency.outside.xero.credit_notes
    assert note["Status"] == "AUTHORISED"
    assert note["Total"] == 240
    print(await agency.effects(case_id))
    for mail in agency.mails():
        print("=====", mail["From"], "->", mail["To"], mail["Cc"], mail["Subject"])
        print(mail.get_content())
