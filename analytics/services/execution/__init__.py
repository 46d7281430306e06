"""From an approved proposal to booked trades.

`run` carries an event out and takes it up again after a crash; `checks` is what may stand against it,
`orders` what is asked for, `fills` what was done and is booked once. `exchanges` pays for foreign purchases;
`completion` holds the `results` against the books and closes the event. `protocol` says what a venue is,
`venues` which ones there are: `paper`, and `order_file`, whose fills `import_fills` brings back.
"""
