using Archipelago.Cli.CommandLine;
using Archipelago.Cli.Commands;

return await new CommandTree(CommandTable.All).RunAsync(args);
