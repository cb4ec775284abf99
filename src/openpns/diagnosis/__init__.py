"""Why a signature does not match, and what is wrong with a client's set-up."""
