"""The admin site as the back-office console."""

from django.contrib import admin


class ConsoleSite(admin.AdminSite):
    site_header = "Portfolio Site"
    site_title = "Portfolio Site"
    index_title = "Morning"
