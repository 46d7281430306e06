"""Technical helpers that both apps share. No business words here."""
