"""Open data: datasets that a publisher signs, in public spaces that devices read whole and query at home.

    publisher   about.toml + file ──> rows ──> edition, signed ──> a public space for each dataset
                                └──> metadata ──> edition, signed ──> one public space: the catalogue
    person      catalogue, whole ──> search here ──> a dataset's space, whole ──> SQL here

`metadata` and `dcat` say what is said of a dataset, `rows` what an edition is of, `editions` how they are signed and
chained; they do no I/O. `publishing` and `following` are the two sides, on an open home. docs/opendata.md is the page.
"""
