"""The person's side of jobs: inspect, grant, run, release, revoke; and the words for it."""
