"""What a load would take: its requests planned and priced by the real core, and rehearsed in virtual time."""
