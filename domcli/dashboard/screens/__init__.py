"""What opens over the panels: new run, help, confirmations, a chart or a log full-screen."""
