"""The provider's side of jobs: `chez-job`."""
