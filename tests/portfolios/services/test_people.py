"""Accounts: what is told of them, who may manage whom, and who is not deleted."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError

from portfolios.models import AuditEvent, PortfolioAccess, PortfolioRole
from portfolios.services import people
from portfolios.services.access import api_token_issue
from portfolios.services.audit import audit_verify
from tests.support import factories as make
from tests.support.admin import make_restriction
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]

MANAGING = [f"{may}_{what}" for may in ("add", "change", "delete", "view") for what in ("user", "group")]
BEYOND = "view_all_portfolios"


@pytest.fixture(autouse=True)
def _quick_hashes(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


def make_group(name: str, *codenames: str) -> Group:
    group = Group.objects.create(name=name)
    group.permissions.set(Permission.objects.filter(codename__in=codenames))
    return group


@pytest.fixture
def clerk() -> User:
    """Manages accounts, and may do nothing else."""
    clerk = make.make_user("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=MANAGING))
    return clerk


def last() -> Any:
    return AuditEvent.objects.latest("sequence")


def test_a_new_account_is_told_of_without_its_password() -> None:
    boss, group = make.make_superuser("boss"), make_group("Desk")
    ann = people.user_create(
        username="ann", password="a long enough secret", actor=boss, reason="hired", groups=[group]
    )
    event = last()
    assert (event.action, event.actor, event.reason) == ("user.created", "boss", "hired")
    assert (event.object_type, event.object_id, event.before) == ("user", str(ann.pk), None)
    assert event.after == {
        "username": "ann",
        "first_name": "",
        "last_name": "",
        "email": "",
        "is_active": True,
        "is_staff": False,
        "is_superuser": False,
        "groups": ["Desk"],
        "user_permissions": [],
        "password": "set",
    }
    assert User.objects.get(username="ann").check_password("a long enough secret")
    assert people.user_create(username="robot").has_usable_password() is False
    assert last().after | {"username": "ann", "groups": ["Desk"], "password": "set"} == event.after
    assert last().after["password"] == "none"
    assert audit_verify().is_intact


def test_a_change_tells_what_was_and_what_is_by_name() -> None:
    desk, back = make_group("Desk"), make_group("Back office")
    ann = make.make_user("ann")
    ann.groups.set([desk])
    people.user_update(
        ann, is_staff=True, email="ann@example.org", groups=[back], user_permissions=[permission(BEYOND)]
    )
    event = last()
    assert (event.action, event.actor) == ("user.changed", "system")
    assert event.before == {"email": "", "is_staff": False, "groups": ["Desk"], "user_permissions": []}
    assert event.after == {
        "email": "ann@example.org",
        "is_staff": True,
        "groups": ["Back office"],
        "user_permissions": [str(permission(BEYOND))],
    }
    ann = User.objects.get(pk=ann.pk)
    assert (ann.is_staff, ann.email, [*ann.groups.all()], ann.has_perm(f"portfolios.{BEYOND}")) == (
        True,
        "ann@example.org",
        [back],
        True,
    )
    with nothing_written():
        people.user_update(ann, is_staff=True, groups=[back])


def test_what_no_account_can_be_changes_nothing() -> None:
    make.make_user("ann")
    bob = make.make_user("bob")
    with nothing_written(), pytest.raises(ValidationError, match="already exists"):
        people.user_update(bob, username="ann")
    with nothing_written(), pytest.raises(ValidationError, match="valid email"):
        people.user_update(bob, email="nowhere", is_staff=True)
    with nothing_written(), pytest.raises(TypeError, match="password"):
        people.user_update(bob, password="plain")
    with nothing_written(), pytest.raises(ValidationError, match="username"):
        people.user_create(username="not a name")


def test_of_a_password_only_that_it_changed_is_told() -> None:
    ann = make.make_user("ann")
    people.user_set_password(ann, "a long enough secret", actor=ann)
    event = last()
    assert (event.action, event.actor, event.before) == ("user.password_changed", "ann", None)
    assert event.after == {"username": "ann", "password": "changed"}
    assert User.objects.get(pk=ann.pk).check_password("a long enough secret")
    people.user_set_password(ann, None, reason="left")
    assert (last().after, last().reason) == ({"username": "ann", "password": "disabled"}, "left")
    assert not User.objects.get(pk=ann.pk).has_usable_password()


def test_groups_are_told_of_by_name() -> None:
    portfolio = make.make_portfolio("P1")
    group = people.group_create(name="Desk", permissions=[permission("view_asset")])
    seeing = str(permission("view_asset"))
    assert (last().action, last().after) == ("group.created", {"name": "Desk", "permissions": [seeing]})
    people.group_update(group, name="Front", permissions=[])
    assert (last().action, last().object_id) == ("group.changed", str(group.pk))
    assert last().before == {"name": "Desk", "permissions": [seeing]}
    assert last().after == {"name": "Front", "permissions": []}
    with nothing_written():
        people.group_update(group, name="Front")
    make.make_user("ann").groups.add(group)
    PortfolioAccess.objects.create(portfolio=portfolio, group=group, role=PortfolioRole.MAKER)
    people.group_delete(group, reason="merged")
    assert (last().action, last().reason, last().after) == ("group.deleted", "merged", None)
    assert last().before == {"name": "Front", "permissions": [], "members": ["ann"], "access": ["P1: maker"]}
    assert not Group.objects.exists()
    assert not PortfolioAccess.objects.exists()


def test_who_never_did_anything_is_deleted_with_what_he_had(clerk: User) -> None:
    ann = people.user_create(username="ann", password="a long enough secret")
    api_token_issue(ann)
    number = ann.pk
    people.user_delete(ann, actor=clerk, reason="a slip of the pen")
    event = last()
    assert (event.action, event.actor, event.object_id) == ("user.deleted", "clerk", str(number))
    assert event.reason == "a slip of the pen"
    assert event.before is not None
    assert (event.before["username"], event.before["access"]) == ("ann", [])
    assert not User.objects.filter(username="ann").exists()


def log_entry(user: User) -> None:
    LogEntry.objects.create(
        user=user, content_type=ContentType.objects.get_for_model(User), action_flag=CHANGE, object_repr="it"
    )


APPEARANCES: dict[str, Callable[[User], Any]] = {
    "the audit trail": lambda user: make.make_audit_event(actor=user),
    "trading restrictions": lambda user: make_restriction(None, owner=user),  # protected by its key
    "rebalancing events": lambda user: make.make_event(
        make.make_portfolio(), approved_by=user
    ),  # set to null
    "portfolios": lambda user: make.make_portfolio(owner=user),
    "log entries": log_entry,
}


@pytest.mark.parametrize("place", APPEARANCES)
def test_who_appears_somewhere_is_not_deleted(place: str) -> None:
    ann = make.make_user("ann")
    APPEARANCES[place](ann)
    with nothing_written(), pytest.raises(ValidationError) as caught:
        people.user_delete(ann)
    assert caught.value.messages == [f"ann appears in {place}: deactivate the account, it is not deleted"]


def test_a_name_in_the_audit_trail_is_one_persons_for_ever() -> None:
    ann, bob = make.make_user("ann"), make.make_user("bob")
    make.make_audit_event(actor=ann)
    make.make_audit_event(actor=User(username="gone"))
    with nothing_written(), pytest.raises(ValidationError, match=r"username ann: .* stays with this account"):
        people.user_update(ann, username="anna")
    with nothing_written(), pytest.raises(ValidationError, match=r"username gone: .* as somebody else"):
        people.user_update(bob, username="gone")
    with nothing_written():
        for name in ("gone", "system", "System"):
            with pytest.raises(ValidationError, match=rf"username {name}: .* somebody else"):
                people.user_create(username=name)
    people.user_update(bob, username="rob")
    assert (last().before, last().after) == ({"username": "bob"}, {"username": "rob"})


def test_nobody_manages_accounts_without_the_permission() -> None:
    ann, bob, group = make.make_user("ann", is_staff=True), make.make_user("bob"), make_group("Desk")
    attempts = (
        lambda: people.user_create(username="new", actor=ann),
        lambda: people.user_update(bob, is_active=False, actor=ann),
        lambda: people.user_update(ann, is_staff=False, actor=ann),
        lambda: people.user_set_password(bob, "a long enough secret", actor=ann),
        lambda: people.user_delete(bob, actor=ann),
        lambda: people.group_create(name="new", actor=ann),
        lambda: people.group_update(group, name="new", actor=ann),
        lambda: people.group_delete(group, actor=ann),
    )
    with nothing_written():
        for attempt in attempts:
            with pytest.raises(PermissionDenied, match="ann lacks the permission auth"):
                attempt()


def test_nobody_hands_out_more_than_he_has(clerk: User) -> None:
    """Neither to others nor to himself, neither in person nor through a group."""
    mighty = make_group("Mighty", BEYOND)
    access = make_group("Access")
    portfolio = make.make_portfolio("P1")
    PortfolioAccess.objects.create(portfolio=portfolio, group=access, role=PortfolioRole.CHECKER)
    own = make_group("Clerks")
    clerk.groups.add(own)
    gifts: list[dict[str, Any]] = [
        {"is_superuser": True},
        {"user_permissions": [*clerk.user_permissions.all(), permission(BEYOND)]},
        {"groups": [mighty]},
        {"groups": [access]},
    ]
    ann = make.make_user("ann")
    with nothing_written():
        for somebody, changes in product((clerk, ann), gifts):
            with pytest.raises(PermissionDenied, match="clerk may not manage"):
                people.user_update(somebody, actor=clerk, **changes)
    attempts = (
        lambda: people.user_create(username="new", is_superuser=True, actor=clerk),
        lambda: people.user_create(username="new", groups=[mighty], actor=clerk),
        lambda: people.group_create(name="new", permissions=[permission(BEYOND)], actor=clerk),
        lambda: people.group_update(own, permissions=[permission(BEYOND)], actor=clerk),
        lambda: people.group_delete(mighty, actor=clerk),
        lambda: people.group_update(access, name="new", actor=clerk),
    )
    with nothing_written():
        for attempt in attempts:
            with pytest.raises(PermissionDenied, match="clerk may not manage"):
                attempt()


def test_what_one_has_one_may_hand_out(clerk: User) -> None:
    portfolio = make.make_portfolio("P1")
    make.grant(clerk, portfolio, PortfolioRole.MANAGER)
    access = make_group("Access", "change_user")
    PortfolioAccess.objects.create(portfolio=portfolio, group=access, role=PortfolioRole.CHECKER)
    ann = people.user_create(username="ann", groups=[access], is_staff=True, actor=clerk)
    people.user_update(ann, user_permissions=[permission("view_user")], groups=[], actor=clerk)
    assert list(ann.user_permissions.all()) == [permission("view_user")]


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("power", ["superuser", "permission", "group", "role", "ownership"])
def test_nobody_manages_who_may_do_more(clerk: User, power: str, active: bool) -> None:
    """Who could set the password of a mightier account, or wake it up, could act in its name."""
    ann = make.make_user("ann", is_superuser=power == "superuser", is_active=active)
    if power == "permission":
        ann.user_permissions.add(permission(BEYOND))
    elif power == "group":
        ann.groups.add(make_group("Mighty", BEYOND))
    elif power == "role":
        make.grant(ann, make.make_portfolio(), PortfolioRole.VIEWER)
    elif power == "ownership":
        make.make_portfolio(owner=ann)
    attempts = (
        lambda: people.user_update(ann, is_active=not active, email="mine@example.org", actor=clerk),
        lambda: people.user_set_password(ann, "a long enough secret", actor=clerk),
        lambda: people.user_delete(ann, actor=clerk),
    )
    with nothing_written():
        for attempt in attempts:
            with pytest.raises(PermissionDenied, match="clerk may not manage ann"):
                attempt()
    boss = make.make_superuser()
    people.user_set_password(ann, "a long enough secret", actor=boss)
    assert last().actor == boss.username
