"""Help for the tests of both packages; nothing here is shipped."""
