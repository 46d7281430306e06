"""The currencies of the world's larger markets, so that a file can name them."""

from django.db import migrations

CURRENCIES = """
AED 2 UAE dirham|ARS 2 Argentine peso|AUD 2 Australian dollar|BGN 2 Bulgarian lev|BHD 3 Bahraini dinar
BRL 2 Brazilian real|CAD 2 Canadian dollar|CHF 2 Swiss franc|CLP 0 Chilean peso|CNY 2 Chinese yuan
COP 2 Colombian peso|CYP 2 Cyprus pound|CZK 2 Czech koruna|DKK 2 Danish krone|EEK 2 Estonian kroon
EGP 2 Egyptian pound|EUR 2 Euro|GBP 2 Pound sterling|HKD 2 Hong Kong dollar|HRK 2 Croatian kuna
HUF 2 Hungarian forint|IDR 2 Indonesian rupiah|ILS 2 Israeli shekel|INR 2 Indian rupee|ISK 0 Icelandic krona
JOD 3 Jordanian dinar|JPY 0 Japanese yen|KRW 0 South Korean won|KWD 3 Kuwaiti dinar|LTL 2 Lithuanian litas
LVL 2 Latvian lats|MAD 2 Moroccan dirham|MTL 2 Maltese lira|MXN 2 Mexican peso|MYR 2 Malaysian ringgit
NGN 2 Nigerian naira|NOK 2 Norwegian krone|NZD 2 New Zealand dollar|OMR 3 Omani rial|PEN 2 Peruvian sol
PHP 2 Philippine peso|PKR 2 Pakistani rupee|PLN 2 Polish zloty|QAR 2 Qatari riyal|ROL 2 Romanian leu (old)
RON 2 Romanian leu|RSD 2 Serbian dinar|RUB 2 Russian rouble|SAR 2 Saudi riyal|SEK 2 Swedish krona
SGD 2 Singapore dollar|SIT 2 Slovenian tolar|SKK 2 Slovak koruna|THB 2 Thai baht|TRL 0 Turkish lira (old)
TRY 2 Turkish lira|TWD 2 New Taiwan dollar|UAH 2 Ukrainian hryvnia|USD 2 US dollar|VND 0 Vietnamese dong
ZAR 2 South African rand
"""


def add_currencies(apps, schema_editor):
    currency = apps.get_model("portfolios", "Currency")
    for entry in CURRENCIES.strip().replace("\n", "|").split("|"):
        code, minor_units, name = entry.split(" ", 2)
        currency.objects.update_or_create(code=code, defaults={"name": name, "minor_units": int(minor_units)})


class Migration(migrations.Migration):
    dependencies = [("portfolios", "0001_initial")]
    operations = [migrations.RunPython(add_currencies, migrations.RunPython.noop)]
