"""Users and groups in the console: the framework's screens, each change with its audit row."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client, RequestFactory
from django.urls import reverse

from portfolios.admin.users import own_password_change
from portfolios.models import AuditEvent, PortfolioAccess, PortfolioRole
from tests.support import factories as make
from tests.support.admin import client_of, url_of
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]

SECRET = "correct horse battery"
BEYOND = "view_all_portfolios"


@pytest.fixture(autouse=True)
def _quick_hashes(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def boss() -> Client:
    return client_of(make.make_superuser("boss"))


@pytest.fixture
def clerk() -> User:
    """Manages accounts, and may do nothing else."""
    clerk = make.make_user("clerk", is_staff=True)
    managing = Permission.objects.filter(content_type__app_label="auth")
    clerk.user_permissions.set(managing.filter(content_type__model__in=("user", "group")))
    return clerk


def last() -> Any:
    return AuditEvent.objects.latest("sequence")


def form_of(row: User | Group, **changes: Any) -> dict[str, Any]:
    """What the page of the row sends when nothing but `changes` was touched; None: a box is unticked."""
    if isinstance(row, Group):
        fields: dict[str, Any] = {"name": row.name, "permissions": _keys(row.permissions)}
    else:
        fields = {name: getattr(row, name) for name in ("username", "first_name", "last_name", "email")}
        ticked = ("is_active", "is_staff", "is_superuser")
        fields |= {name: "on" for name in ticked if getattr(row, name)}
        fields |= {"groups": _keys(row.groups), "user_permissions": _keys(row.user_permissions)}
    return {name: value for name, value in (fields | changes).items() if value is not None}


def _keys(rows: Any) -> list[int]:
    return list(rows.values_list("pk", flat=True))


def post(client: Client, url: str, data: Mapping[str, Any], status: int = 302) -> Any:
    response = client.post(url, data)
    assert response.status_code == status, response.content.decode()[:2000]
    return response


def errors_of(response: Any) -> str:
    return re.sub(r"<[^>]+>", " ", str(response.context["adminform"].form.errors))


def test_an_account_made_on_the_screen_is_audited(boss: Client) -> None:
    form = {"username": "ann", "usable_password": "true", "password1": SECRET, "password2": SECRET}
    response = post(boss, url_of(User, "add"), form | {"reason": "hired"})
    ann = User.objects.get(username="ann")
    assert response["Location"] == url_of(ann, "change", ann.pk)
    assert ann.check_password(SECRET)
    event = last()
    assert (event.action, event.actor, event.object_id) == ("user.created", "boss", str(ann.pk))
    assert (event.reason, event.after["password"]) == ("hired", "set")
    assert AuditEvent.objects.count() == 1
    post(boss, url_of(User, "add"), {"username": "robot", "usable_password": "false"})
    assert not User.objects.get(username="robot").has_usable_password()
    assert last().after["password"] == "none"


def test_a_change_on_the_screen_is_audited_with_groups_and_permissions(boss: Client) -> None:
    desk, back = (Group.objects.create(name=name) for name in ("Desk", "Back office"))
    ann = make.make_user("ann", is_staff=True)
    ann.groups.set([desk])
    seeing = Permission.objects.get(codename="view_asset")
    form = form_of(
        ann,
        is_active=None,
        is_superuser="on",
        groups=[back.pk],
        user_permissions=[seeing.pk],
        reason="moved to the back office",
        last_login_0="2020-01-01",
        last_login_1="00:00",
    )
    post(boss, url_of(ann, "change", ann.pk), form)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.reason) == ("user.changed", "boss", "moved to the back office")
    assert event.before == {
        "is_active": True,
        "is_superuser": False,
        "groups": ["Desk"],
        "user_permissions": [],
    }
    assert event.after == {
        "is_active": False,
        "is_superuser": True,
        "groups": ["Back office"],
        "user_permissions": [str(seeing)],
    }
    ann = User.objects.get(pk=ann.pk)
    assert (ann.is_active, ann.is_superuser, ann.last_login) == (False, True, None)
    assert (list(ann.groups.all()), list(ann.user_permissions.all())) == ([back], [seeing])


def test_a_page_saved_as_it_was_is_no_change(boss: Client) -> None:
    ann = make.make_user("ann", is_staff=True)
    group = Group.objects.create(name="Desk")
    ann.groups.set([group])
    with nothing_written():
        post(boss, url_of(ann, "change", ann.pk), form_of(ann, reason="nothing"))
        post(boss, url_of(group, "change", group.pk), form_of(group))


def test_groups_on_the_screen_are_audited(boss: Client) -> None:
    seeing = Permission.objects.get(codename="view_asset")
    post(boss, url_of(Group, "add"), {"name": "Desk", "permissions": [seeing.pk], "reason": "new desk"})
    group = Group.objects.get()
    assert list(group.permissions.all()) == [seeing]
    assert (last().action, last().object_id, last().reason) == ("group.created", str(group.pk), "new desk")
    post(boss, url_of(group, "change", group.pk), {"name": "Desk", "permissions": [], "reason": "blind"})
    assert (last().before, last().after) == ({"permissions": [str(seeing)]}, {"permissions": []})
    PortfolioAccess.objects.create(portfolio=make.make_portfolio("P1"), group=group, role="maker")
    assert boss.get(url_of(group, "delete", group.pk)).status_code == 200
    post(boss, url_of(group, "delete", group.pk), {"post": "yes"})
    assert (last().action, last().actor) == ("group.deleted", "boss")
    assert last().before["access"] == ["P1: maker"]
    assert not Group.objects.exists()


def test_passwords_set_for_others_are_audited_without_them(boss: Client) -> None:
    ann = make.make_user("ann")
    url = reverse("admin:auth_user_password_change", args=[ann.pk])
    assert boss.get(url).status_code == 200
    form = {"password1": SECRET, "password2": SECRET, "usable_password": "true"}
    post(boss, url, form | {"set-password": "1"})
    assert User.objects.get(pk=ann.pk).check_password(SECRET)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.object_id) == ("user.password_changed", "boss", str(ann.pk))
    assert event.after == {"username": "ann", "password": "changed"}
    with nothing_written():
        post(boss, url, form | {"password2": "another"}, status=200)
    post(boss, url, {"usable_password": "false", "unset-password": "1"})
    assert last().after == {"username": "ann", "password": "disabled"}
    assert not User.objects.get(pk=ann.pk).has_usable_password()


def test_ones_own_password_is_audited_and_one_stays_logged_in() -> None:
    ann = make.make_user("ann", password="the old secret", is_staff=True)
    form = {"old_password": "the old secret", "new_password1": SECRET, "new_password2": SECRET}
    for given, status in ((form | {"old_password": "wrong"}, 200), (form, 302)):
        request: Any = RequestFactory().post("/", given)
        request.user, request.session = ann, SessionStore()
        request._dont_enforce_csrf_checks = True
        assert own_password_change(admin.site, request).status_code == status
        assert AuditEvent.objects.count() == (status == 302)
    assert User.objects.get(pk=ann.pk).check_password(SECRET)
    assert request.session["_auth_user_hash"] == ann.get_session_auth_hash()
    event = AuditEvent.objects.get()
    assert (event.action, event.actor) == ("user.password_changed", "ann")
    assert event.after == {"username": "ann", "password": "changed"}


def test_who_appears_somewhere_is_deactivated_not_deleted(boss: Client) -> None:
    ann = make.make_user("ann")
    make.make_audit_event(actor=ann)
    make.make_event(make.make_portfolio(), requested_by=ann)
    url = url_of(ann, "delete", ann.pk)
    with nothing_written():
        for response in (boss.get(url, follow=True), boss.post(url, {"post": "yes"}, follow=True)):
            assert response.redirect_chain == [(url_of(ann, "change", ann.pk), 302)]
            assert [str(message) for message in response.context["messages"]] == [
                "ann appears in the audit trail, rebalancing events: deactivate the account, "
                "it is not deleted"
            ]


def test_who_never_did_anything_is_deleted_on_the_screen(clerk: User) -> None:
    client = client_of(clerk)
    ann = make.make_user("ann")
    url = url_of(ann, "delete", ann.pk)
    assert "Are you sure" in client.get(url).content.decode()
    post(client, url, {"post": "yes"})
    assert (last().action, last().actor, last().before["username"]) == ("user.deleted", "clerk", "ann")
    assert not User.objects.filter(username="ann").exists()
    bob = make.make_user("bob")
    with nothing_written():  # there is no way to delete several at once past the services
        client.post(
            url_of(User, "changelist"), {"action": "delete_selected", "_selected_action": bob.pk, "post": "y"}
        )


def test_a_deletion_takes_ones_access_along(boss: Client) -> None:
    ann = make.make_user("ann")
    make.grant(ann, make.make_portfolio("P1"), PortfolioRole.MAKER)
    assert "Are you sure" in boss.get(url_of(ann, "delete", ann.pk)).content.decode()
    post(boss, url_of(ann, "delete", ann.pk), {"post": "yes"})
    assert last().before["access"] == ["P1: maker"]
    assert not PortfolioAccess.objects.exists()


def test_nobody_makes_a_superuser_who_is_none(clerk: User) -> None:
    client = client_of(clerk)
    for somebody in (clerk, make.make_user("ann")):
        form = form_of(somebody, is_superuser="on", email="a@example.org")
        post(client, url_of(somebody, "change", somebody.pk), form)
        assert last().after == {"email": "a@example.org"}
        assert not User.objects.get(pk=somebody.pk).is_superuser
    form = {"username": "new", "password1": SECRET, "password2": SECRET, "usable_password": "true"}
    post(client, url_of(User, "add"), form | {"is_superuser": "on", "is_staff": "on"})
    assert not User.objects.get(username="new").is_superuser


def test_nobody_grants_permissions_that_he_lacks(clerk: User) -> None:
    beyond = Permission.objects.get(codename=BEYOND)
    mighty, access, own = (Group.objects.create(name=name) for name in ("Mighty", "Access", "Own"))
    mighty.permissions.add(beyond)
    PortfolioAccess.objects.create(portfolio=make.make_portfolio(), group=access, role="viewer")
    clerk.groups.add(own)
    client = client_of(clerk)
    for somebody in (clerk, make.make_user("ann")):
        url = url_of(somebody, "change", somebody.pk)
        page = client.get(url).content.decode()
        assert ("Mighty" in page, "Access</option>" in page, ">Own</option>" in page) == (False, False, True)
        assert BEYOND not in page
        for field, pk in (("user_permissions", beyond.pk), ("groups", mighty.pk), ("groups", access.pk)):
            with nothing_written():
                page = post(client, url, form_of(somebody, **{field: [pk]}), status=200)
            assert "is not one of the available choices" in errors_of(page)
    for url in (url_of(own, "change", own.pk), url_of(Group, "add")):
        with nothing_written():
            page = post(client, url, {"name": "Own", "permissions": [beyond.pk]}, status=200)
        assert "is not one of the available choices" in errors_of(page)
    holding = Permission.objects.get(codename="change_user")
    post(client, url_of(own, "change", own.pk), {"name": "Own", "permissions": [holding.pk]})
    assert list(own.permissions.all()) == [holding]


def test_who_may_do_more_is_shown_and_not_changed(clerk: User) -> None:
    client = client_of(clerk)
    owner = make.make_user("owner")
    make.make_portfolio(owner=owner)
    mighty = Group.objects.create(name="Mighty")
    mighty.permissions.add(Permission.objects.get(codename=BEYOND))
    for row in (make.make_superuser("boss"), owner, mighty):
        url = url_of(row, "change", row.pk)
        page = client.get(url).content.decode()
        assert 'name="_save"' not in page
        assert "reason" not in page.casefold()
        pages = [url, url_of(row, "delete", row.pk)]
        if isinstance(row, User):
            pages.append(reverse("admin:auth_user_password_change", args=[row.pk]))
        with nothing_written():
            for url in pages:
                form = {"post": "yes", "password1": SECRET, "password2": SECRET, "set-password": "1"}
                post(client, url, form_of(row) | form, status=403)


def test_a_name_in_the_audit_trail_is_refused_at_its_field(boss: Client) -> None:
    make.make_audit_event(actor=User(username="gone"))
    ann = make.make_user("ann")
    form = {"username": "gone", "usable_password": "false"}
    with nothing_written():
        added = post(boss, url_of(User, "add"), form, status=200)
        renamed = post(boss, url_of(ann, "change", ann.pk), form_of(ann, username="gone"), status=200)
    for page in (added, renamed):
        assert "username gone: stands in the audit trail as somebody else" in errors_of(page)
