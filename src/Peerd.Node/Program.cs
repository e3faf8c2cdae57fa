return await Peerd.Node.Cli.PeerdCommand.InvokeAsync(args);
