"""Redis by redis.asyncio."""
