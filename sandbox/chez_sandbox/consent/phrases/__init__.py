"""The catalogue's sentences beside the screen's, in English and French; `chez_sandbox.consent.catalogue` says them."""
