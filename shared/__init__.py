"""The house: `core` decides, `flows` tell the story, `adapters` speak to the world, `ports` name what is between."""
