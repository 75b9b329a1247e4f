using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Archipelago.Hosting.Tests")]
