"""The wires a scripted upstream speaks, one module each: how requests are read and refused, how answers are said."""
