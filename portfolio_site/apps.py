"""App configuration of the admin console."""

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    default_site = "portfolio_site.console.ConsoleSite"
