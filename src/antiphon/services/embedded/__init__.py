"""The offline default: recognizer, dialogue and speech with no keys and no downloads."""
