"""Users and groups: the framework's screens, saving through services; nobody hands out more than he has."""

from copy import copy
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminPasswordChangeForm as OwnPasswordChangeForm
from django.contrib.admin.widgets import AdminTextInputWidget
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group, User
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db.models import ManyToManyField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from portfolios.models import PortfolioAccess
from portfolios.services import people
from portfolios.services.audit import Actor

admin.site.unregister(User)
admin.site.unregister(Group)


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        required=False,
        widget=AdminTextInputWidget,
        help_text="Is kept in the audit trail.",
    )


class UserForm(ReasonForm, UserChangeForm):
    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        people.check_username(name, before=self.instance.username)
        return name


class NewUserForm(ReasonForm, AdminUserCreationForm):
    def clean_username(self) -> str:
        name: str = super().clean_username()
        people.check_username(name)
        return name


class GroupForm(ReasonForm, forms.ModelForm):
    class Meta:
        model = Group
        fields = people.GROUP_FIELDS


class PasswordForm(AdminPasswordChangeForm):
    """`actor`: who sets the password of another."""

    def __init__(self, *arguments: Any, actor: Actor, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.actor = actor

    def save(self, commit: bool = True) -> User:
        given = self.cleaned_data
        password = given["password1"] if given["set_usable_password"] else None
        return people.user_set_password(self.user, password, actor=self.actor)


class OwnPasswordForm(OwnPasswordChangeForm):
    def save(self, commit: bool = True) -> User:
        return people.user_set_password(self.user, self.cleaned_data["new_password1"], actor=self.user)


def own_password_change(
    site: admin.AdminSite, request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponseBase:
    """The site's page on which people change their own password."""
    request.current_app = site.name
    view = PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse("admin:password_change_done", current_app=site.name),
        extra_context={**site.each_context(request), **(extra_context or {})},
    )
    return view(request)


class WithinOwnAuthority(admin.ModelAdmin):
    """Who may do less than the account or group on a page sees the page, and changes nothing there."""

    actions = None  # each deletion is looked at and told of by itself

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (obj is None or people.may_manage(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or people.may_manage(request.user, obj))

    def formfield_for_manytomany(
        self, db_field: "ManyToManyField[Any, Any]", request: HttpRequest | None = None, **kwargs: Any
    ) -> "forms.ModelMultipleChoiceField[Any] | None":
        if request is not None and isinstance(request.user, User):
            within = people.groups_within if db_field.name == "groups" else people.permissions_within
            kwargs["queryset"] = within(request.user)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[arg-type]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Access to portfolios, which is not deleted by itself here, goes with who had it."""
        deleted, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, lacking - {PortfolioAccess._meta.verbose_name}, protected

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Groups and permissions are saved with the row."""


def _changes(form: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in form.changed_data if name in names}


@admin.register(User)
class AuditedUserAdmin(WithinOwnAuthority, UserAdmin):
    form = UserForm
    add_form = NewUserForm
    change_password_form = PasswordForm
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "usable_password", "password1", "password2", "reason"),
            },
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not self.has_change_permission(request, obj):
            return fieldsets
        return [*fieldsets, ("Why", {"fields": ("reason",)})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        facts = ("last_login", "date_joined")
        return facts if request.user.is_superuser else (*facts, "is_superuser")

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        given = form.cleaned_data
        fields = _changes(form, people.USER_FIELDS)
        if change:
            people.user_update(obj, actor=request.user, reason=given["reason"], **fields)
            return
        password = given["password1"] if given["set_usable_password"] else None
        user = people.user_create(password=password, actor=request.user, reason=given["reason"], **fields)
        obj.pk = user.pk

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """The page makes its form without the request; here the form knows who asks."""
        screen = copy(self)
        screen.change_password_form = partial(PasswordForm, actor=request.user)  # type: ignore[assignment]
        return super(AuditedUserAdmin, screen).user_change_password(request, id, form_url)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except ValidationError as error:
            messages.error(request, "; ".join(error.messages))
            return HttpResponseRedirect(reverse("admin:auth_user_change", args=[object_id]))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        for user in objs:
            people.check_user_unknown(user)
        return super().get_deleted_objects(objs, request)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        people.user_delete(obj, actor=request.user)


@admin.register(Group)
class AuditedGroupAdmin(WithinOwnAuthority, GroupAdmin):
    form = GroupForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        fields = (*people.GROUP_FIELDS, "reason") if may else people.GROUP_FIELDS
        return [(None, {"fields": fields})]

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        reason, fields = form.cleaned_data["reason"], _changes(form, people.GROUP_FIELDS)
        if change:
            people.group_update(obj, actor=request.user, reason=reason, **fields)
        else:
            obj.pk = people.group_create(actor=request.user, reason=reason, **fields).pk

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        people.group_delete(obj, actor=request.user)
