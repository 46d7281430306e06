"""The way of every file into the tables: all of its rows, or a list that names each one that cannot go.

A file is read once, while no transaction is open: its rows are checked and wait, block by block, in a
nameless file of their own. Then one transaction compares and writes them, so that the tables are locked no
longer than writing takes, and a long file needs no more memory than a block of it.

The transaction also holds the batch, the stale marks and the audit rows. A file that changes nothing,
because it was imported before or because all its rows were refused, leaves none of them.

`importer` is what an import has to say about its rows, `flow` what happens to them; the other rooms serve
these two.
"""
