"""The main job of Chez, played for a newcomer: `sh bin/demo`."""
