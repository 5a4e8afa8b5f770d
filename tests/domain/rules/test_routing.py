from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.people import Department, Topic, department_in, department_role, managed_in, manager_role, speaks_for
from domain.rules.acts import Ownership
from domain.rules.routing import Contact, Presence, about, asked_today, covered_by, covers, owned_today, topic_of

ANDY = (Contact("al", Topic.OPERATIONAL), Contact("cath", Topic.CLIENT))


@pytest.mark.clause("ID-2")
@pytest.mark.parametrize(
    ("operational", "client_related", "who"),
    [(True, False, "al"), (False, False, "al"), (True, True, "al"), (False, True, "cath")],
)
def test_al_for_what_is_operational_or_of_no_client_cath_for_what_is_of_one(
    operational: bool, client_related: bool, who: str
) -> None:
    assert about(ANDY, topic_of(operational=operational, client_related=client_related)) == (who,)


def test_contacts_without_a_topic_are_asked_about_everything_in_their_order() -> None:
    sales = (Contact("ada"), Contact("cristianna"))
    for topic in Topic:
        assert about(sales, topic) == ("ada", "cristianna")
    assert about(ANDY, Topic.ANY) == ("al", "cath")


@pytest.mark.parametrize(
    ("role", "asked"),
    [
        ("department:google-local", Department("google-local")),
        ("department:andy/client", Department("andy", Topic.CLIENT)),
        ("department:andy/operational", Department("andy", Topic.OPERATIONAL)),
        ("department:andy/other", None),
        ("department:", None),
        ("department:Content", None),
        ("team:return-leads", None),
        ("manager:content", None),
    ],
)
def test_which_department_a_role_asks(role: str, asked: Department | None) -> None:
    assert department_in(role) == asked
    if asked:
        assert department_role(*asked) == role


def test_whose_manager_a_role_asks() -> None:
    assert managed_in(manager_role("content")) == "content"
    assert managed_in("department:content") == ""


def test_whoever_is_here_does_their_own_work() -> None:
    assert covers("ann", Presence()) == ("ann",)
    assert covered_by(["ann"], Presence()) == ""


def test_work_goes_to_stand_ins_successors_and_theirs_in_turn() -> None:
    there = Presence(left={"ann": "ben"}, away={"ben": ("cat",), "cat": ("dan",)})
    assert covers("ann", there) == ("dan",)
    assert covers("ben", there) == ("dan",)


def test_nobody_stands_in_for_himself_in_a_circle() -> None:
    there = Presence(left={"eve": "fay", "fay": "eve"}, away={"ann": ("ben",), "ben": ("ann",)})
    assert covers("ann", there) == ()
    assert covers("eve", there) == ()
    assert owned_today(Ownership(claimed_by="eve"), there) == Ownership()


def test_a_stand_in_beside_somebody_who_is_here_is_asked_with_them() -> None:
    there = Presence(beside={"ann": ("ben",)})
    assert asked_today(["ann", "cat"], there) == ("ann", "ben", "cat")
    assert covered_by(["ann"], there) == ""


def test_a_queue_is_covered_for_only_when_none_of_its_people_is_here() -> None:
    there = Presence(away={"ann": ("zoe",)})
    assert asked_today(["ann", "ben"], there) == ("zoe", "ben")
    assert covered_by(["ann", "ben"], there) == ""
    assert covered_by(["ann"], there) == "zoe"
    assert covered_by(["ann"], Presence(away={"ann": ()})) == ""


def test_a_step_of_somebody_away_stays_theirs_and_is_covered_for() -> None:
    there = Presence(away={"ann": ("ben",)})
    own = owned_today(Ownership(claimed_by="ann"), there)
    assert (own.claimed_by, own.covers) == ("ann", ("ben",))
    assert own.is_theirs("ben")
    assert not own.is_theirs("cat")


@pytest.mark.parametrize(("successor", "now"), [("ben", Ownership(reassigned_to="ben")), ("", Ownership())])
def test_a_step_of_somebody_who_left_is_the_successor_s_or_the_queue_s(successor: str, now: Ownership) -> None:
    assert owned_today(Ownership(claimed_by="ann"), Presence(left={"ann": successor})) == now
    assert owned_today(Ownership(reassigned_to="ann"), Presence(left={"ann": successor})) == now


PEOPLE = st.sampled_from("abcdef")
OTHERS = st.dictionaries(PEOPLE, st.lists(PEOPLE, max_size=3), max_size=4)


@given(left=st.dictionaries(PEOPLE, st.sampled_from(["", *"abcdef"]), max_size=3), away=OTHERS, beside=OTHERS)
def test_only_those_who_are_here_are_ever_asked(
    left: Mapping[str, str], away: Mapping[str, Sequence[str]], beside: Mapping[str, Sequence[str]]
) -> None:
    there = Presence(left, away, beside)
    for one in "abcdef":
        asked = asked_today([one], there)
        assert all(there.is_here(found) for found in asked)
        assert len(asked) == len(set(asked))
        assert (one in asked) == there.is_here(one)
        owned = owned_today(Ownership(claimed_by=one), there)
        assert owned.owner not in left
        assert owned.owner not in owned.covers


@pytest.mark.parametrize(
    ("role", "asked", "meant"),
    [
        ("department:ppc", "department:ppc/client", True),
        ("department:ppc", "department:ppc", True),
        ("department:ppc/client", "department:ppc/operational", False),
        ("department:ppc/client", "department:ppc", False),
        ("department:ppc", "department:seo/client", False),
        ("department:ppc", "manager:ppc", False),
        ("team:accounts", "team:accounts", True),
        ("", "department:ppc", False),
    ],
)
def test_a_whole_department_is_meant_whatever_it_is_about(role: str, asked: str, meant: bool) -> None:
    assert speaks_for(role, asked) is meant
