"""Full-text search of libraries: an index beside each API, made from the store.

`words` and `query` say what a word is, `index` is one tenant's file, `indexes` the folder of all,
`follow` keeps it as the jobs are, `snippets` shows why a document was found.
"""
