from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "analytics"
    verbose_name = "Analytics and rebalancing"

    def ready(self) -> None:
        from analytics.selectors.blends import blended_assets
        from analytics.services.import_allocations import AllocationImport
        from analytics.services.import_benchmarks import BenchmarkImport
        from analytics.services.import_blends import BlendImport
        from portfolios.selectors.derived_assets import derived_assets_register
        from portfolios.services.file_uploads import UploadTarget, upload_target_register

        for name, title, importer in (
            ("allocations", "Allocations", AllocationImport),
            ("benchmarks", "Benchmarks", BenchmarkImport),
            ("blends", "Blended benchmarks", BlendImport),
        ):
            upload_target_register(UploadTarget(name, title, importer))
        derived_assets_register(blended_assets)
